package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Tail reads the records of a trail in their order, behind whoever writes them. It
// reads the trail's files, and so costs the writer nothing and no memory, however
// far behind it is. It is for one goroutine.
type Tail struct {
	trail *Trail
	// next is the number of the record that is wanted next.
	next uint64
	// file is the one that is read, from offset on, and after the one that
	// follows it, once that is known.
	file  file
	after *file
	pages *pages
	// lines are those behind offset that were read already.
	lines  []byte
	offset int64
}

// Tail returns a reader of the records behind the one with the number. The caller
// closes it.
func (t *Trail) Tail(number uint64) *Tail { return &Tail{trail: t, next: number + 1} }

// Began returns the number of the first record of this opening of the trail.
func (t *Trail) Began() uint64 { return t.began }

// Grows returns a channel that is closed when the next record is written. To miss
// none, ask for it before reading to the end.
func (t *Trail) Grows() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grows == nil {
		t.grows = make(chan struct{})
	}
	return t.grows
}

// grew tells those who wait. The caller holds the lock.
func (t *Trail) grew() {
	if t.grows != nil {
		close(t.grows)
		t.grows = nil
	}
}

// Next returns the next record, or [io.EOF] where there is none yet. What is no
// longer kept, and what cannot be read, is passed over: the numbers tell.
func (t *Tail) Next() (Record, error) {
	for {
		if t.pages == nil {
			if err := t.open(); err != nil {
				return Record{}, err
			}
			continue
		}
		line, err := t.line()
		if err != nil {
			if err := t.goOn(err); err != nil {
				return Record{}, err
			}
			continue
		}
		t.offset += int64(len(line))
		number, _, ok := linkOf(line)
		if !ok || number < t.next || number > t.next && number > t.trail.last() {
			continue // it is wanted no more, or the trail never wrote it
		}
		if record, err := parseRecord(line); err == nil && record.Number == number {
			t.next = number + 1
			return record, nil
		}
	}
}

// line returns the next line, or [io.EOF] where there is no whole one yet.
func (t *Tail) line() ([]byte, error) {
	if len(t.lines) == 0 {
		lines, err := t.pages.from(t.offset)
		if err != nil {
			return nil, err
		}
		t.lines = lines[:bytes.LastIndexByte(lines, '\n')+1]
	}
	end := bytes.IndexByte(t.lines, '\n') + 1
	if end == 0 {
		return nil, io.EOF
	}
	line := t.lines[:end]
	t.lines = t.lines[end:]
	return line, nil
}

// open opens the file that the wanted record is in, or else the one after it.
func (t *Tail) open() error {
	files, err := listFiles(t.trail.store.dir)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return io.EOF
	}
	at := slices.IndexFunc(files, func(f file) bool { return f.first > t.next })
	if at < 0 {
		at = len(files)
	}
	return t.use(files[max(at-1, 0)])
}

// use reads another file. One that was removed meanwhile is left out: what is there
// is looked up again.
func (t *Tail) use(f file) error {
	t.Close()
	pages, err := f.pages()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t.file, t.pages, t.offset, t.after = f, pages, 0, nil
	return nil
}

// goOn has the next line read behind the end of a file or behind what cannot be
// read of it, or says why there is none.
func (t *Tail) goOn(why error) error {
	ended := errors.Is(why, io.EOF)
	switch {
	case ended && t.after != nil:
		return t.use(*t.after)
	case ended && t.next > t.trail.last():
		return io.EOF
	}
	files, err := listFiles(t.trail.store.dir)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(files, func(f file) bool { return f.first > t.file.first })
	switch {
	case at >= 0 && ended:
		// What the file got before the other one began comes first.
		t.after = &files[at]
		return nil
	case at >= 0:
		return t.use(files[at])
	case ended:
		return io.EOF
	}
	return fmt.Errorf("%s: %w", t.file.path, why)
}

// last is the number of the last record.
func (t *Trail) last() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.store.last.number
}

// Close lets go of the file.
func (t *Tail) Close() {
	if t.pages != nil {
		t.pages.close()
		t.pages, t.lines = nil, nil
	}
}
