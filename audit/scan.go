package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// search is a question to the lines of a trail.
type search struct {
	// needle stands in every wanted line. Where it is empty every line may be.
	needle []byte
	// match reads a line, and reports whether it is wanted. Several goroutines
	// call it.
	match func(line []byte) (Record, bool)
	// frames returns in which frames of a file there can be wanted lines. Where
	// it is nil they can be in all.
	frames func(index) func(frame int) bool
}

// hits are the wanted records of a page, and where that begins.
type hits struct {
	records []Record
	start   int64
	err     error
}

// find looks through a page.
func (s search) find(p *pages, page int) hits {
	found := hits{start: p.start(page)}
	lines, _, err := p.read(page)
	found.err = err
	lines = lines[:bytes.LastIndexByte(lines, '\n')+1] // what is behind is not finished
	for len(lines) > 0 {
		at := bytes.Index(lines, s.needle)
		if at < 0 {
			break
		}
		lines = lines[bytes.LastIndexByte(lines[:at], '\n')+1:]
		end := bytes.IndexByte(lines, '\n') + 1
		if record, wanted := s.match(lines[:end]); wanted {
			found.records = append(found.records, record)
		}
		lines = lines[end:]
	}
	return found
}

// in calls use with the wanted records of a file by pages, from the page of a place
// on, or the last page first, until use returns false; it returns whether there is
// more to come. A file that is gone was kept long enough.
func (s search) in(f file, from int64, backwards bool, use func(hits) bool) (more bool, err error) {
	p, err := f.pages()
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer p.close()
	order := s.order(f, p, p.at(from))
	if backwards {
		slices.Reverse(order)
	}
	for found := range inOrder(order, func(page int) hits { return s.find(p, page) }) {
		if found.err != nil {
			return false, fmt.Errorf("%s: %w", f.path, found.err)
		}
		if !use(found) {
			return false, nil
		}
	}
	return true, nil
}

// order are the pages to look through, from one on.
func (s search) order(f file, p *pages, from int) []int {
	pages := upTo(from, p.count())
	if s.frames == nil {
		return pages
	}
	x, fits := f.index(p)
	if !fits {
		return pages
	}
	wanted := s.frames(x)
	return slices.DeleteFunc(pages, func(page int) bool { return !wanted(page) })
}

// Scan calls f with the wanted records of the trail in a folder, the oldest
// first, until f returns false. Lines that are no records are passed over: what
// is wrong with a trail is for [Verify] to say.
func Scan(dir string, q Query, f func(Record) bool) error {
	files, err := someFiles(dir)
	if err != nil {
		return err
	}
	return q.search().scan(q.within(files), f)
}

// scan calls f with the wanted records of some files until f returns false.
func (s search) scan(files []file, f func(Record) bool) error {
	for _, file := range files {
		more, err := s.in(file, 0, false, func(found hits) bool { return all(found.records, f) })
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// all reports whether f does of each record; it ends with the first.
func all(records []Record, f func(Record) bool) bool {
	return !slices.ContainsFunc(records, func(r Record) bool { return !f(r) })
}

// Newest returns the last n wanted records, the newest first.
func Newest(dir string, q Query, n int) ([]Record, error) {
	files, err := someFiles(dir)
	if err != nil {
		return nil, err
	}
	var records []Record
	places, err := q.newest(files, n)
	for _, p := range places {
		records = append(records, p.Record)
	}
	return records, err
}

// place is a record, the number that its file begins with, and where its page
// begins there.
type place struct {
	Record
	file  uint64
	start int64
}

// newest returns the last n wanted records of some files, the newest first.
func (q Query) newest(files []file, n int) ([]place, error) {
	var newest []place
	for _, file := range slices.Backward(q.within(files)) {
		more, err := q.search().in(file, 0, true, func(found hits) bool {
			for _, r := range slices.Backward(found.records) {
				if len(newest) < n {
					newest = append(newest, place{r, file.first, found.start})
				}
			}
			return len(newest) < n
		})
		if err != nil || !more {
			return newest, err
		}
	}
	return newest, nil
}

// someFiles are the files of the trail in a folder, of which there must be some.
func someFiles(dir string) ([]file, error) {
	files, err := listFiles(dir)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no trail", dir)
	}
	return files, err
}

// within leaves out the files whose days lie outside the query.
func (q Query) within(files []file) []file {
	if q.Since.IsZero() && q.Until.IsZero() {
		return files
	}
	since, until := q.Since.UTC().Format(time.DateOnly), q.Until.UTC().Format(time.DateOnly)
	var wanted []file
	for i, f := range files {
		// A full disk, or a clock that went on, can have later days in it.
		reaches := i == len(files)-1 || max(f.day, files[i+1].day) >= since
		if reaches && (q.Until.IsZero() || f.day <= until) {
			wanted = append(wanted, f)
		}
	}
	return wanted
}
