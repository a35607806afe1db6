package main

import (
	"context"
	"sync"
	"time"
)

// beside does work in a goroutine until stop is called, which has its context end and
// waits for its return.
func beside(ctx context.Context, work func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() { work(ctx) })
	return func() {
		cancel()
		working.Wait()
	}
}

// every does work after each pause until stop is called, which waits for its return.
func every(ctx context.Context, pause time.Duration, work func()) (stop func()) {
	return beside(ctx, func(ctx context.Context) {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				work()
			}
		}
	})
}
