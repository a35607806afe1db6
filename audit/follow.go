package audit

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

// Follow calls f with the wanted records that are written from now on, until the
// context is done or f returns an error. It looks every pause.
func Follow(ctx context.Context, dir string, q Query, pause time.Duration, f func(Record) error) error {
	files, err := filesFor(dir, Query{})
	if err != nil {
		return err
	}
	last := files[len(files)-1]
	at := &follower{dir: dir, file: last, offset: last.size, needles: q.needles(), query: q, found: f}
	if last.compressed {
		at.offset = 0
		at.skip = true
	}
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

// follower is how far somebody has read.
type follower struct {
	dir     string
	file    file
	offset  int64
	skip    bool // nothing of this file is new
	query   Query
	needles [][]byte
	found   func(Record) error
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
		at.file, at.offset, at.skip = files[next], 0, false
	}
}

// read goes on in the file, up to its last whole line.
func (at *follower) read() error {
	if at.skip {
		return nil
	}
	r, err := at.file.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is no longer kept
	}
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.skip(at.offset); err != nil {
		return err
	}
	for {
		line, err := r.line()
		if errors.Is(err, io.EOF) || errors.Is(err, errUnfinished) {
			return nil
		}
		if err != nil {
			return err
		}
		at.offset += int64(len(line))
		if record, wanted := at.query.read(line, at.needles); wanted {
			if err := at.found(record); err != nil {
				return err
			}
		}
	}
}
