package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"postern/audit"
)

// Whoever follows a trail gets each wanted record once, in its order, whatever
// files they are in, and nothing of what was there before.
func TestFollow(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 2000 })
	for n := range 5 {
		k.session(n)
	}
	const wanted = 30
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var numbers []uint64
	ended := make(chan error)
	begun := make(chan struct{})
	go func() {
		ended <- audit.Follow(ctx, k.dir, audit.Query{Event: "session ended"}, time.Millisecond, func(r audit.Record) error {
			if numbers = append(numbers, r.Number); len(numbers) == 1 {
				close(begun)
			}
			if len(numbers) == wanted {
				stop()
			}
			return nil
		})
	}()
	// The first record says that it follows; which one that is does not matter.
	for n := 5; ; n++ {
		k.session(n)
		select {
		case <-begun:
		default:
			continue
		}
		for more := n + 1; more <= n+wanted; more++ {
			k.session(more)
		}
		break
	}
	if err := <-ended; err != nil || len(numbers) < wanted {
		t.Fatalf("%d records, %v", len(numbers), err)
	}
	for i := 1; i < len(numbers); i++ {
		if numbers[i] <= numbers[i-1] {
			t.Errorf("%d comes after %d", numbers[i], numbers[i-1])
		}
	}
}

func TestFollowEndsWithItsReader(t *testing.T) {
	k := keep(t)
	full := errors.New("the terminal is gone")
	ended := make(chan error)
	go func() {
		ended <- audit.Follow(t.Context(), k.dir, audit.Query{}, time.Millisecond, func(audit.Record) error { return full })
	}()
	for n := 0; ; n++ {
		k.session(n)
		select {
		case err := <-ended:
			if !errors.Is(err, full) {
				t.Error(err)
			}
			return
		default:
		}
	}
}
