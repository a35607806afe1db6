package limit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/policy"
)

// move moves n bytes, and returns how many went before the context was done.
func move(ctx context.Context, f *Flow, n int) (moved int) {
	for moved < n {
		moved += f.Take(ctx, min(n-moved, 256<<10))
		if ctx.Err() != nil {
			return moved
		}
	}
	return moved
}

// What flows in a time is the limit times that time, however many share it, whenever
// they came, and at every limit.
func TestFlow(t *testing.T) {
	for name, perSecond := range map[string]int64{"slow": 16 << 10, "1 MiB": 1 << 20, "fast": 1 << 28} {
		for _, sharers := range []int{1, 5} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFlow()
					f.limit(policy.LimitOf(perSecond))
					begun := time.Now()
					var all sync.WaitGroup
					for range sharers {
						all.Go(func() { move(t.Context(), f, int(3*perSecond)) })
					}
					all.Wait()
					want := time.Duration(sharers) * 3 * time.Second
					if took := time.Since(begun); took < want-time.Millisecond || took > want+time.Second {
						t.Errorf("%d moved %d bytes each in %s", sharers, 3*perSecond, took)
					}
				})
			})
		}
	}
}

// At a limit that matters for what a disk can do, nothing is cut into pieces.
func TestPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow()
		f.limit(policy.LimitOf(1 << 20))
		if n := f.Take(t.Context(), 256<<10); n != 256<<10 {
			t.Errorf("%d bytes of 256 KiB at once", n)
		}
		f.limit(policy.LimitOf(16 << 10))
		if n := f.Take(t.Context(), 256<<10); n != 4<<10 {
			t.Errorf("%d bytes of 256 KiB at once, at 16 KiB/s", n)
		}
	})
}

// Another limit holds for what flows already.
func TestFlowChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow()
		f.limit(policy.LimitOf(16 << 10))
		var moved sync.WaitGroup
		begun := time.Now()
		moved.Go(func() { move(t.Context(), f, 100<<20) })
		time.Sleep(10 * time.Second)
		f.limit(policy.LimitOf(100 << 20))
		moved.Wait()
		if took := time.Since(begun); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("it took %s", took)
		}
		f.limit(policy.LimitOf(1 << 20))
		begun = time.Now()
		moved.Go(func() { move(t.Context(), f, 100<<20) })
		time.Sleep(10 * time.Second)
		f.limit(policy.Limit{})
		moved.Wait()
		if took := time.Since(begun); took > 11*time.Second {
			t.Errorf("without a limit it took %s", took)
		}
	})
}

// Who ends waits for nothing, and does not take what others can have.
func TestFlowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow()
		f.limit(policy.LimitOf(16 << 10))
		ctx, cancel := context.WithCancel(t.Context())
		var moved sync.WaitGroup
		for range 100 {
			moved.Go(func() { move(ctx, f, 1<<30) })
		}
		time.Sleep(time.Second)
		begun := time.Now()
		cancel()
		moved.Wait()
		if n := f.Take(ctx, 1<<20); n != 1<<20 {
			t.Errorf("%d bytes after the end", n)
		}
		move(t.Context(), f, 16<<10)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("the next second's data took %s", took)
		}
	})
}

func BenchmarkWithoutLimit(b *testing.B) {
	f := newFlow()
	for b.Loop() {
		f.Take(b.Context(), 256<<10)
	}
}
