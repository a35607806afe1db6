package audit

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// Follow calls f with the wanted records that are written from now on, until the
// context is done or f returns an error. It looks every pause.
func Follow(ctx context.Context, dir string, q Query, pause time.Duration, f func(Record) error) error {
	files, err := someFiles(dir)
	if err != nil {
		return err
	}
	last := files[len(files)-1]
	p, err := last.pages()
	if err != nil {
		return err
	}
	p.close()
	at := &follower{dir: dir, file: last, offset: p.size, match: q.search().match, found: f}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		if err := at.catchUp(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// follower is how far somebody has read: up to a place among the lines of a file.
type follower struct {
	dir    string
	file   file
	offset int64
	match  func(line []byte) (Record, bool)
	found  func(Record) error
}

// catchUp reads what was written since the last time.
func (at *follower) catchUp() error {
	for {
		// The list comes first: what is in a file that has a successor is all
		// there will be.
		files, err := listFiles(at.dir)
		if err != nil {
			return err
		}
		if err := at.read(); err != nil {
			return err
		}
		next := slices.IndexFunc(files, func(f file) bool { return f.first > at.file.first })
		if next < 0 {
			return nil
		}
		at.file, at.offset = files[next], 0
	}
}

// read goes on in the file, up to its last whole line.
func (at *follower) read() error {
	p, err := at.file.pages()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is no longer kept
	}
	if err != nil {
		return err
	}
	defer p.close()
	for {
		lines, err := p.from(at.offset)
		if err != nil {
			return err
		}
		whole := lines[:bytes.LastIndexByte(lines, '\n')+1]
		if len(whole) == 0 {
			return nil
		}
		for line := range bytes.Lines(whole) {
			at.offset += int64(len(line))
			if record, wanted := at.match(line); wanted {
				if err := at.found(record); err != nil {
					return err
				}
			}
		}
	}
}
