package audit

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A closed file is compressed in frames, which can be read one by one. Behind them
// is a table of their lengths, in a frame that other programs skip: the "seekable
// format" of zstd's contrib/seekable_format.
const (
	// frameSize is how long the lines of a frame are, at least: less than a
	// millisecond's work. The last one may be shorter.
	frameSize = 256 << 10
	// maxFrame is how long they are at most.
	maxFrame = frameSize + maxLine

	skippable   = 0x184D2A5E
	seekable    = 0x8F92EAB1
	tableHead   = 8
	tableEntry  = 8
	tableFooter = 9
)

// frame is a frame of a compressed file: where it is, and where its lines are
// among all lines of the file.
type frame struct {
	at, start      int64
	length, unpack int
}

// zip compresses lines in frames, and returns the table that it wrote behind them.
// each gets the lines of every frame.
func zip(to io.Writer, from io.Reader, each func(lines []byte)) (table []byte, err error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(2*frameSize))
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(from, frameSize)
	var frames []frame
	var packed []byte
	for {
		lines, err := someLines(in)
		if errors.Is(err, io.EOF) {
			table = tableOf(frames)
			_, err = to.Write(table)
			return table, err
		}
		if err != nil {
			return nil, err
		}
		each(lines)
		packed = z.EncodeAll(lines, packed[:0])
		if _, err := to.Write(packed); err != nil {
			return nil, err
		}
		frames = append(frames, frame{length: len(packed), unpack: len(lines)})
	}
}

// someLines reads as much as a frame holds, and on to the end of the line.
func someLines(in *bufio.Reader) ([]byte, error) {
	lines := make([]byte, frameSize)
	n, err := io.ReadFull(in, lines)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return lines[:n], nil
	case err != nil || lines[n-1] == '\n':
		return lines, err
	}
	rest, err := in.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		err = nil // the next call says so
	}
	return append(lines, rest...), err
}

func tableOf(frames []frame) []byte {
	little := binary.LittleEndian
	table := little.AppendUint32(nil, skippable)
	table = little.AppendUint32(table, uint32(tableEntry*len(frames)+tableFooter))
	for _, f := range frames {
		table = little.AppendUint32(table, uint32(f.length))
		table = little.AppendUint32(table, uint32(f.unpack))
	}
	table = little.AppendUint32(table, uint32(len(frames)))
	return little.AppendUint32(append(table, 0), seekable)
}

// readTable returns the table of a compressed file of that size and the frames in
// it, or nil where there is none that leads from the beginning to the end.
func readTable(in io.ReaderAt, size int64) (table []byte, frames []frame, err error) {
	if size < tableHead+tableFooter {
		return nil, nil, nil
	}
	footer := make([]byte, tableFooter)
	if _, err := in.ReadAt(footer, size-tableFooter); err != nil {
		return nil, nil, err
	}
	little := binary.LittleEndian
	length := tableHead + tableEntry*int64(little.Uint32(footer)) + tableFooter
	if little.Uint32(footer[5:]) != seekable || length > size {
		return nil, nil, nil
	}
	table = make([]byte, length)
	if _, err := in.ReadAt(table, size-length); err != nil {
		return nil, nil, err
	}
	var at, start int64
	for entry := table[tableHead:]; len(entry) > tableFooter; entry = entry[tableEntry:] {
		f := frame{at, start, int(little.Uint32(entry)), int(little.Uint32(entry[4:]))}
		if f.unpack > maxFrame {
			return nil, nil, nil
		}
		frames = append(frames, f)
		at, start = at+int64(f.length), start+int64(f.unpack)
	}
	if at != size-length || string(table) != string(tableOf(frames)) {
		return nil, nil, nil
	}
	return table, frames, nil
}
