package limit

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"postern/policy"
)

const (
	// burstTime is the time whose data may flow at once: so short that another limit
	// takes effect at once, and so long that the timers of a busy host are exact
	// enough.
	burstTime = 250 * time.Millisecond
	// leastBurst is the smallest piece that is worth a write.
	leastBurst = 4 << 10
)

// Flow is one way of a client's data, shared by all its sessions.
type Flow struct {
	// turn is held by who waits for the bucket. One at a time does, in the order in
	// which they came: another limit is felt with the next piece, and nobody's end
	// leaves a gap in what others can have.
	turn chan struct{}
	// bucket is nil where there is no limit; mu is held to change it.
	bucket atomic.Pointer[rate.Limiter]
	mu     sync.Mutex
}

func newFlow() *Flow { return &Flow{turn: make(chan struct{}, 1)} }

// Take waits until some of n bytes may flow, and returns how many; with the context
// done it waits no more, and all may.
func (f *Flow) Take(ctx context.Context, n int) int {
	if f.bucket.Load() == nil {
		return n
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return n
	}
	for ctx.Err() == nil {
		bucket := f.bucket.Load()
		if bucket == nil {
			return n
		}
		piece := min(n, bucket.Burst())
		due := bucket.ReserveN(time.Now(), piece)
		if !due.OK() {
			continue // the limit has just been lowered
		}
		if !sleep(ctx, due.Delay()) {
			due.Cancel()
			break
		}
		return piece
	}
	return n
}

// sleep reports whether the time passed before the context was done.
func sleep(ctx context.Context, pause time.Duration) bool {
	if pause <= 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// limit changes how fast data flows, which is felt once the piece that waits has
// flowed.
func (f *Flow) limit(perSecond policy.Limit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, limited := perSecond.Number()
	bucket := f.bucket.Load()
	switch {
	case !limited:
		f.bucket.Store(nil)
	case bucket == nil:
		bucket = rate.NewLimiter(rate.Limit(n), burstOf(n))
		// It begins empty, so that nobody gains by coming again.
		bucket.AllowN(time.Now(), bucket.Burst())
		f.bucket.Store(bucket)
	case bucket.Limit() != rate.Limit(n):
		bucket.SetLimit(rate.Limit(n))
		bucket.SetBurst(burstOf(n))
	}
}

// burstOf is how much may flow at once, of n bytes a second.
func burstOf(n int64) int {
	return int(min(max(n/int64(time.Second/burstTime), leastBurst), math.MaxInt32))
}
