package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The names in a trail's folder.
const (
	lockName = "lock"
	headName = "head"
	// turnName is what gateways that share the trail take turns by.
	turnName   = "turn"
	keyName    = "key.pem"
	publicName = "key.pub.pem"
	rawEnding  = ".jsonl"
	zstdEnding = ".zst"
	// indexEnding is in the place of the other two.
	indexEnding = ".index"
)

// fileName is the name of the file that begins with a record on a day. Names
// sort as their records do.
func fileName(first uint64, day string) string {
	return fmt.Sprintf("%012d.%s%s", first, day, rawEnding)
}

var fileNames = regexp.MustCompile(`^([0-9]{12,20})\.([0-9]{4}-[0-9]{2}-[0-9]{2})(\.jsonl|\.jsonl\.zst|\.index)$`)

// indexPath is where the index of a file is.
func indexPath(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(file, zstdEnding), rawEnding) + indexEnding
}

// file is one file of a trail.
type file struct {
	path string
	// first is the number of its first record, and day the one that it began
	// on.
	first      uint64
	day        string
	compressed bool
	// size is what it takes on the disk, with its index.
	size int64
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
	if parts == nil || parts[3] == indexEnding {
		return file{}, false, nil
	}
	f = file{path: filepath.Join(dir, name), day: parts[2], compressed: parts[3] != rawEnding}
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
	if info, err := os.Lstat(indexPath(f.path)); err == nil {
		f.size += info.Size()
	}
	return f, true, nil
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
