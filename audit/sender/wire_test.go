package sender

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What a server closed in order it has read; of anything else some may be unread.
func TestWhatHasArrivedDependsOnTheEnd(t *testing.T) {
	const before, settled = 3, 9
	for name, test := range map[string]struct {
		write, read error
		want        uint64
	}{
		"closed in order":              {unix.EPIPE, errClosed, settled},
		"reset, as the writer hears":   {unix.ECONNRESET, errClosed, before},
		"reset, as the reader hears":   {unix.EPIPE, &net.OpError{Op: "read", Err: unix.ECONNRESET}, before},
		"an alert of TLS":              {unix.ECONNRESET, errors.New("remote error: tls: internal error"), before},
		"closed here, as it took none": {net.ErrClosed, net.ErrClosed, before},
	} {
		w := &wire{pace: quick, gone: make(chan error, 1), got: settled, marks: []mark{{before, 0}}}
		w.gone <- test.read
		err := w.why(&net.OpError{Op: "write", Err: test.write})
		if got := w.ended(fmt.Errorf("wrapped: %w", err)); got != test.want {
			t.Errorf("%s: %d has arrived, want %d", name, got, test.want)
		}
	}
}

// What may be unread is bounded, and so is what is remembered of it.
func TestMarksAreBounded(t *testing.T) {
	w := &wire{marks: []mark{{0, 0}}}
	const record = 1000
	for n := range int64(100_000) {
		w.settled(mark{uint64(n + 1), (n + 1) * record})
		end := int64(w.ended(errors.New("lost"))) * record
		if sent := (n + 1) * record; sent-end < min(sent, unread) || sent-end > unread+2*grain {
			t.Fatalf("of %d bytes %d have arrived", sent, end)
		}
	}
	if len(w.marks) > unread/grain+2 {
		t.Errorf("%d marks", len(w.marks))
	}
}
