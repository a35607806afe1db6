package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// The names in a trail's folder.
const (
	lockName   = "lock"
	headName   = "head"
	keyName    = "key.pem"
	publicName = "key.pub.pem"
	rawEnding  = ".jsonl"
	zstdEnding = ".zst"
)

// fileName is the name of the file that begins with a record on a day. Names
// sort as their records do.
func fileName(first uint64, day string) string {
	return fmt.Sprintf("%012d.%s%s", first, day, rawEnding)
}

var fileNames = regexp.MustCompile(`^([0-9]{12,20})\.([0-9]{4}-[0-9]{2}-[0-9]{2})\.jsonl(\.zst)?$`)

// file is one file of a trail.
type file struct {
	path string
	// first is the number of its first record, and day the one that it began
	// on.
	first      uint64
	day        string
	compressed bool
	size       int64
}

// listFiles returns the files of a trail in the order of their records. Of a file
// that is there raw and compressed, which a crash may leave, the compressed one
// is whole.
func listFiles(dir string) ([]file, error) {
	var files []file
	// A file may change its name while a folder is read, and then be seen under
	// neither. It does so once: one of two readings shows it.
	for range 2 {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			f, there, err := fileAt(dir, entry.Name())
			if err != nil {
				return nil, err
			}
			if there {
				files = append(files, f)
			}
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(len(b.path), len(a.path)))
	})
	return slices.CompactFunc(files, func(a, b file) bool { return a.first == b.first }), nil
}

// fileAt returns the file of that name, unless it is none or was removed since.
func fileAt(dir, name string) (f file, there bool, err error) {
	parts := fileNames.FindStringSubmatch(name)
	if parts == nil {
		return file{}, false, nil
	}
	f = file{path: filepath.Join(dir, name), day: parts[2], compressed: parts[3] != ""}
	if f.first, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return file{}, false, fmt.Errorf("%s: %w", name, err)
	}
	info, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) && !f.compressed {
		f.path, f.compressed = f.path+zstdEnding, true
		info, err = os.Lstat(f.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, false, nil
	}
	if err != nil {
		return file{}, false, err
	}
	f.size = info.Size()
	return f, true, nil
}

// reader reads the lines of a file of a trail.
type reader struct {
	*bufio.Reader
	// close lets go of a file that was only read.
	close func()
	// raw is the file where it is not compressed.
	raw *os.File
}

// skip passes over the first bytes. It is the first thing to be called.
func (r *reader) skip(bytes int64) error {
	var err error
	if r.raw != nil {
		_, err = r.raw.Seek(bytes, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, r, bytes)
	}
	return err
}

// maxLine bounds a record: some fields of 4 KiB, each at most six times as long
// when it is escaped.
const maxLine = 1 << 20

// open opens a file for reading. One that was compressed meanwhile is found under
// its other name.
func (f file) open() (*reader, error) {
	in, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) && !f.compressed {
		f.path, f.compressed = f.path+zstdEnding, true
		in, err = os.Open(f.path)
	}
	if err != nil {
		return nil, err
	}
	if !f.compressed {
		return &reader{bufio.NewReaderSize(in, 256<<10), func() { in.Close() }, in}, nil
	}
	d, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return &reader{bufio.NewReaderSize(d, 256<<10), func() { d.Close(); in.Close() }, nil}, nil
}

// errUnfinished is a line without its end.
var errUnfinished = errors.New("the last line is not finished")

// line returns the next line with its line feed, which is good until the next
// call, or [io.EOF].
func (r *reader) line() ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		return line, nil
	}
	var long []byte
	for errors.Is(err, bufio.ErrBufferFull) && len(long) < maxLine {
		long = append(long, line...)
		line, err = r.ReadSlice('\n')
	}
	long = append(long, line...)
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
	case errors.Is(err, io.EOF) && len(long) > 0:
		return long, errUnfinished
	}
	return long, err
}

// The beginnings of a record's place in the chain, and what stands between.
const (
	numberMark = `,"number":`
	beforeMark = `,"before":"`
)

// hashLength is that of a hash in base64 without padding.
const hashLength = 43

// linkOf reads a record's number and the hash of the one before it, which stand
// behind its level and its time, without reading the rest.
func linkOf(line []byte) (number uint64, before []byte, ok bool) {
	at := bytes.Index(line, []byte(numberMark))
	if at < 0 {
		return 0, nil, false
	}
	rest := line[at+len(numberMark):]
	digits := bytes.IndexByte(rest, ',')
	if digits < 0 || !bytes.HasPrefix(rest[digits:], []byte(beforeMark)) || len(rest) < digits+len(beforeMark)+hashLength+1 {
		return 0, nil, false
	}
	number, err := strconv.ParseUint(string(rest[:digits]), 10, 64)
	rest = rest[digits+len(beforeMark):]
	// In a text the quotes would be escaped: this is two records in one line.
	twice := bytes.Contains(rest[hashLength:], []byte(beforeMark))
	return number, rest[:hashLength], err == nil && rest[hashLength] == '"' && !twice
}
