// Package audit keeps the trail: one record for each thing that happened.
//
// There is one method for each event. A record is one line of JSON; what came
// from outside stands only in its fields, bounded and escaped, so that no
// client can forge a record or grow the trail without end. A method that cannot
// write its record says so, and the caller must then not do what the record is
// about.
//
// A trail that is kept in a folder (see [Open]) chains its records: each carries
// its number and the hash of the one before it, across files and restarts, and
// now and then one is signed. [Verify] finds the first record that somebody
// changed, removed or put in.
//
// Debug logging is something else and not here.
package audit

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// timeFormat is RFC 3339 with milliseconds, in UTC, always of one length so that
// lines sort.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// care is how much depends on a record.
type care int

const (
	// loose records tell of what has happened anyway; they are on the disk
	// soon.
	loose care = iota
	// binding records tell of what may only happen once they are on the disk.
	binding
	// closing records end what a binding one began. They are on the disk when
	// their method returns, and have room there when nothing else has.
	closing
)

// Trail writes records. Its methods may be called from several goroutines;
// records never mix.
type Trail struct {
	now func() time.Time
	// store keeps the records, and keeper looks after their files. Both are nil
	// for a trail that is only printed.
	store  *store
	keeper *keeper
	folds  folds
	notes  notes
	outage outage
	// shared is nil while no other gateway writes the trail.
	shared  *shared
	looking looking
	// prints gets a copy of each record.
	prints io.Writer
	// began is the number of the first record of this opening.
	began uint64

	mu   sync.Mutex
	line bytes.Buffer
	log  zerolog.Logger
	// grows is closed with the next record; nil while nobody waits for that.
	grows chan struct{}
}

// New returns a trail that keeps nothing: it writes one line for each record to
// w, with a single call of Write. now is the clock.
func New(w io.Writer, now func() time.Time) *Trail {
	t := &Trail{now: now, prints: w}
	t.log = zerolog.New(&t.line)
	return t
}

// Await returns once the trail can take a record, whether or not there is room for it
// on the disk: what keeps a record for good, keeps Await.
func (t *Trail) Await() {
	t.mu.Lock()
	store := t.store
	t.mu.Unlock()
	if store != nil {
		store.syncing.Lock()
		defer store.syncing.Unlock()
	}
}

// record writes one record. The event's name is its message; level says how
// much an operator should care.
func (t *Trail) record(level zerolog.Level, event string, c care, fields func(*zerolog.Event)) error {
	if err := t.write(level, event, c, fields); err != nil {
		return fmt.Errorf("record %q: %w", event, err)
	}
	return nil
}

func (t *Trail) write(level zerolog.Level, event string, c care, fields func(*zerolog.Event)) error {
	t.mu.Lock()
	if t.store == nil {
		defer t.mu.Unlock()
		return t.print(t.build(level, event, nil, fields))
	}
	number, err := t.inTurn(entry{level, event, c, fields})
	t.mu.Unlock()
	if err != nil || c == loose {
		return err
	}
	return t.store.sync(number)
}

// inTurn writes a record when it is this gateway's turn. The caller holds the lock.
func (t *Trail) inTurn(r entry) (number uint64, err error) {
	leave, err := t.enter()
	if err != nil {
		t.missed(r, err)
		return 0, err
	}
	defer leave()
	// Counts that cannot be recorded are lost; what is recorded now matters more.
	_ = t.unfold()
	return t.keep(r)
}

// build makes the line of a record, which is good until the next one is built.
func (t *Trail) build(level zerolog.Level, event string, link func(*zerolog.Event), fields func(*zerolog.Event)) []byte {
	t.line.Reset()
	e := t.log.WithLevel(level).Str(zerolog.TimestampFieldName, t.now().UTC().Format(timeFormat))
	if link != nil {
		link(e)
	}
	fields(e)
	e.Msg(event)
	return t.line.Bytes()
}

// print copies a line to whoever watches.
func (t *Trail) print(line []byte) error {
	n, err := t.prints.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}
