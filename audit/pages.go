package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxLine bounds a record: some fields of 4 KiB, each at most six times as
	// long when it is escaped.
	maxLine = 1 << 20
	// maxUnpacked bounds a file that was compressed as a whole, and is read so.
	maxUnpacked = 2 * defaultFileSize
)

// unpacker decompresses, for several goroutines at once.
var unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxUnpacked))
})

// pages are a file of a trail as stretches of whole lines, which can be read in any
// order and at once.
type pages struct {
	file *os.File
	// table and frames are those of a file that is compressed in frames. Of
	// any other the lines can be read at their places.
	table  []byte
	frames []frame
	lines  io.ReaderAt
	// size is how long all lines are. A file that is written grows beyond it.
	size int64
	// damage is why none can be read.
	damage error
}

// pages opens a file. One that was compressed meanwhile is found under its other
// name. The caller closes it.
func (f file) pages() (*pages, error) {
	in, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) && !f.compressed {
		f.path, f.compressed = f.path+zstdEnding, true
		in, err = os.Open(f.path)
	}
	if err != nil {
		return nil, err
	}
	p := &pages{file: in, lines: in}
	info, err := in.Stat()
	if err == nil {
		p.size = info.Size()
		if f.compressed {
			err = p.unpack()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.path, err), in.Close())
	}
	return p, nil
}

func (p *pages) close() { p.file.Close() }

// unpack finds the frames of a compressed file, or decompresses it as a whole.
func (p *pages) unpack() (err error) {
	if p.table, p.frames, err = readTable(p.file, p.size); err != nil {
		return err
	}
	if p.table != nil {
		p.size = 0
		if n := len(p.frames); n > 0 {
			p.size = p.frames[n-1].start + int64(p.frames[n-1].unpack)
		}
		return nil
	}
	packed, err := io.ReadAll(p.file)
	if err != nil {
		return err
	}
	d, err := unpacker()
	if err != nil {
		return err
	}
	var lines []byte
	lines, p.damage = d.DecodeAll(packed, nil)
	p.lines, p.size = bytes.NewReader(lines), int64(len(lines))
	return nil
}

// count is how many pages there are.
func (p *pages) count() int {
	switch {
	case p.damage != nil:
		return 1
	case p.table != nil:
		return len(p.frames)
	}
	return int((p.size + frameSize - 1) / frameSize)
}

// at is the page of the line that begins at a place among all lines.
func (p *pages) at(start int64) int {
	if p.table == nil {
		return int(start / frameSize)
	}
	return max(sort.Search(len(p.frames), func(i int) bool { return p.frames[i].start > start })-1, 0)
}

// start is where a page begins.
func (p *pages) start(page int) int64 {
	if p.table == nil {
		return int64(page) * frameSize
	}
	return p.frames[page].start
}

// read returns the lines of a page, and where the first of them begins. The last
// line of a file may lack its end.
func (p *pages) read(page int) (lines []byte, start int64, err error) {
	if p.damage != nil {
		return nil, 0, p.damage
	}
	if p.table == nil {
		return linesFrom(p.lines, int64(page)*frameSize, p.size)
	}
	f := p.frames[page]
	packed := make([]byte, f.length)
	if _, err := p.file.ReadAt(packed, f.at); err != nil {
		return nil, 0, err
	}
	d, err := unpacker()
	if err != nil {
		return nil, 0, err
	}
	lines, err = d.DecodeAll(packed, make([]byte, 0, f.unpack))
	if err == nil && len(lines) != f.unpack {
		err = fmt.Errorf("a frame has %d bytes, and %d by the table of the file", len(lines), f.unpack)
	}
	return lines, f.start, err
}

// all gives the lines of each page in their order.
func (p *pages) all() iter.Seq2[[]byte, error] {
	type page struct {
		lines []byte
		err   error
	}
	return func(yield func([]byte, error) bool) {
		for got := range inOrder(upTo(0, p.count()), func(n int) page {
			lines, _, err := p.read(n)
			return page{lines, err}
		}) {
			if !yield(got.lines, got.err) {
				return
			}
		}
	}
}

// from returns some of the lines from the one on that begins at a place, and none at
// the end of the file, also where that was written meanwhile.
func (p *pages) from(start int64) ([]byte, error) {
	if p.table == nil && p.damage == nil {
		size := p.size
		if info, err := p.file.Stat(); err == nil && p.lines == io.ReaderAt(p.file) {
			size = info.Size()
		}
		lines, _, err := linesFrom(p.lines, start, size)
		return lines, err
	}
	if start >= p.size && p.damage == nil {
		return nil, nil
	}
	lines, first, err := p.read(p.at(start))
	return lines[min(max(start-first, 0), int64(len(lines))):], err
}

// linesFrom returns the lines that begin in the page which begins at a place, where
// the size is that of all lines.
func linesFrom(in io.ReaderAt, from, size int64) (lines []byte, start int64, err error) {
	if from >= size {
		return nil, from, nil
	}
	// The byte before tells whether a line begins with the page.
	before := min(from, 1)
	buffer := make([]byte, before+min(frameSize, size-from))
	n, err := in.ReadAt(buffer, from-before)
	last := errors.Is(err, io.EOF)
	if err != nil && !last {
		return nil, 0, err
	}
	skip := 0
	if from > 0 {
		skip = bytes.IndexByte(buffer[:max(n-1, 0)], '\n') + 1
		if skip == 0 {
			return nil, from, nil
		}
	}
	lines, start = buffer[skip:n], from-before+int64(skip)
	if last || bytes.HasSuffix(lines, []byte("\n")) {
		return lines, start, nil
	}
	rest, err := restOfLine(in, start+int64(len(lines)))
	return append(lines, rest...), start, err
}

// restOfLine returns what comes up to the next line feed, or to the end.
func restOfLine(in io.ReaderAt, from int64) ([]byte, error) {
	var rest []byte
	for piece := make([]byte, 16<<10); ; {
		n, err := in.ReadAt(piece, from+int64(len(rest)))
		if i := bytes.IndexByte(piece[:n], '\n'); i >= 0 {
			return append(rest, piece[:i+1]...), nil
		}
		rest = append(rest, piece[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return rest, nil
		case err != nil:
			return nil, err
		case len(rest) > maxLine:
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
	}
}

// inOrder calls work for all pages by as many goroutines as there are processors,
// and gives the results in the order of the pages. Few are ahead of who takes them.
func inOrder[T any](order []int, work func(page int) T) iter.Seq[T] {
	return func(yield func(T) bool) {
		var ahead []chan T
		for n := range order {
			for last := min(n+2*runtime.GOMAXPROCS(0), len(order)); n+len(ahead) < last; {
				result, page := make(chan T, 1), order[n+len(ahead)]
				go func() { result <- work(page) }()
				ahead = append(ahead, result)
			}
			result := <-ahead[0]
			if ahead = ahead[1:]; !yield(result) {
				break
			}
		}
		for _, result := range ahead {
			<-result
		}
	}
}

// upTo are the numbers from one up to another, without it.
func upTo(from, end int) []int {
	var all []int
	for i := from; i < end; i++ {
		all = append(all, i)
	}
	return all
}
