package audit_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/audit"
)

// Whoever reads while records are written, files are closed and compressed, and
// old ones removed, gets each record that is kept once and in its order.
func TestReadWhileWriting(t *testing.T) {
	for name, limit := range map[string]int64{"all kept": 0, "old removed": 6000} {
		t.Run(name, func(t *testing.T) {
			k := keep(t, func(o *audit.Options) { o.FileSize, o.Keep = 3000, audit.Keep{Size: limit} })
			k.session(0)
			w := &watched{keeping: k, whole: limit == 0}
			done := make(chan struct{})
			var readers sync.WaitGroup
			for _, read := range []func(){w.scan, w.newest, w.sessions, w.records, w.verified} {
				readers.Go(func() {
					for !over(done) {
						read()
					}
				})
			}
			readers.Go(func() { w.follow(done) })
			for n := 1; n <= 80; n++ {
				k.session(n)
				w.written.Store(int64(n))
			}
			close(done)
			readers.Wait()
			k.close()
			if v := k.sound(); w.whole != (v.First == 1) {
				t.Errorf("%+v", v)
			}
		})
	}
}

func over(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// watched is a trail that is read while it is written.
type watched struct {
	*keeping
	// whole says that no file is removed; else all that a reader has found may be
	// gone before it is read. written is the last session that is recorded.
	whole   bool
	written atomic.Int64
}

// inOrder reports numbers that are not, and with a whole trail those that do not
// follow one another.
func (w *watched) inOrder(what string, numbers []uint64) {
	for i := 1; i < len(numbers); i++ {
		if numbers[i] <= numbers[i-1] || w.whole && numbers[i] != numbers[i-1]+1 {
			w.t.Errorf("%s: %d comes after %d", what, numbers[i], numbers[i-1])
			return
		}
	}
}

func (w *watched) scan() {
	known := w.written.Load()
	var numbers []uint64
	var last string
	err := audit.Scan(w.dir, audit.Query{}, func(r audit.Record) bool {
		numbers = append(numbers, r.Number)
		if r.Event == "session ended" {
			last = r.Session
		}
		return true
	})
	if want := fmt.Sprintf("%016x.1", known); err != nil || w.whole && last < want {
		w.t.Errorf("the last session is %q, want %q: %v", last, want, err)
	}
	w.inOrder("scan", numbers)
}

func (w *watched) newest() {
	known := w.written.Load()
	records, err := audit.Newest(w.dir, audit.Query{}, 30)
	var numbers []uint64
	for _, r := range slices.Backward(records) {
		numbers = append(numbers, r.Number)
	}
	// Each session is three records.
	if err != nil || w.whole && numbers[len(numbers)-1] < uint64(3*known) {
		w.t.Errorf("the newest are %d, and session %d was recorded: %v", numbers, known, err)
	}
	w.inOrder("newest", numbers)
}

func (w *watched) sessions() {
	known := w.written.Load()
	sessions, err := audit.NewestSessions(w.dir, audit.Query{}, 10)
	if err != nil || w.whole && sessions[0].Decided.Session < fmt.Sprintf("%016x.1", known) {
		w.t.Errorf("%d sessions: %v", len(sessions), err)
	}
	for i, s := range sessions {
		if w.whole && i > 0 && s.Ended == nil {
			w.t.Errorf("the session %s before the newest has no end", s.Decided.Session)
		}
	}
}

func (w *watched) records() {
	known := fmt.Sprintf("%016x.1", w.written.Load())
	if records, err := audit.SessionRecords(w.dir, known); err != nil || w.whole && len(records) != 3 {
		w.t.Errorf("session %s has %d records: %v", known, len(records), err)
	}
}

func (w *watched) verified() {
	v, err := audit.Verify(w.dir, w.key(), nil, nil)
	if err != nil || v.Fault != nil {
		w.t.Errorf("%v: %v", err, v.Fault)
	}
}

func (w *watched) follow(done chan struct{}) {
	ctx, stop := context.WithCancel(context.Background())
	go func() { <-done; stop() }()
	var numbers []uint64
	err := audit.Follow(ctx, w.dir, audit.Query{}, time.Millisecond, func(r audit.Record) error {
		numbers = append(numbers, r.Number)
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
	w.inOrder("follow", numbers)
}
