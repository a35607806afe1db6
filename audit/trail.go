// Package audit keeps the trail: one record for each thing that happened.
//
// There is one method for each event. A record is one line of JSON; what came
// from outside stands only in its fields, bounded and escaped, so that no
// client can forge a record or grow the trail without end. A method that cannot
// write its record says so, and the caller must then not do what the record is
// about.
//
// Debug logging is something else and not here.
package audit

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// timeFormat is RFC 3339 with milliseconds, in UTC, always of one length so that
// lines sort.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// Trail writes records. Its methods may be called from several goroutines;
// records never mix.
type Trail struct {
	now func() time.Time

	mu  sync.Mutex
	out *strictWriter
	log zerolog.Logger
}

// New returns a trail that writes one line for each record to w, with a single
// call of Write. now is the clock.
func New(w io.Writer, now func() time.Time) *Trail {
	out := &strictWriter{to: w}
	return &Trail{now: now, out: out, log: zerolog.New(out)}
}

// strictWriter keeps the error of a write, which zerolog would print to
// standard error and forget.
type strictWriter struct {
	to  io.Writer
	err error
}

// Write reports success to zerolog in any case.
func (w *strictWriter) Write(line []byte) (int, error) {
	n, err := w.to.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	w.err = err
	return len(line), nil
}

// record writes one record. The event's name is its message; level says how
// much an operator should care.
func (t *Trail) record(level zerolog.Level, event string, fields func(*zerolog.Event)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.err = nil
	e := t.log.WithLevel(level).Str(zerolog.TimestampFieldName, t.now().UTC().Format(timeFormat))
	fields(e)
	e.Msg(event)
	if t.out.err != nil {
		return fmt.Errorf("record %q: %w", event, t.out.err)
	}
	return nil
}
