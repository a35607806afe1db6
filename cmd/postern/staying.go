package main

import (
	"context"
	"time"

	"postern/gateway/upgrade"
)

// The pauses between attempts to put another gateway in the place of one that was
// killed, doubled each time.
const (
	leastPause = time.Second
	mostPause  = 5 * time.Second
)

// stayBehind does what the newer gateway says while sessions go on here, and puts another
// one in its place where it was killed: of the binary as it is then, since one that is no
// good may have been replaced.
func (u *upgrading) stayBehind(ctx context.Context, s *upgrade.Successor) {
	for pause := time.Duration(0); s != nil; pause = max(leastPause, min(2*pause, mostPause)) {
		u.follow(ctx, s)
		s = u.replace(ctx, pause)
	}
}

// replace starts another gateway in the place of one that is gone and was not to end. It
// tries until that serves.
func (u *upgrading) replace(ctx context.Context, pause time.Duration) *upgrade.Successor {
	if !u.isDeserted(ctx) {
		return nil
	}
	filled := make(chan struct{})
	defer close(filled)
	u.mu.Lock()
	u.vacancy = filled
	u.mu.Unlock()
	for ; u.isDeserted(ctx); pause = max(leastPause, min(2*pause, mostPause)) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		if s := u.handOver(ctx, make(chan<- upgraded, 1)); s != nil {
			return s
		}
	}
	return nil
}

// awaitReplacement waits until somebody serves who comes: a gateway whose last session has
// ended must not end while nobody does.
func (u *upgrading) awaitReplacement() {
	u.mu.Lock()
	vacancy := u.vacancy
	u.mu.Unlock()
	if vacancy != nil {
		<-vacancy
	}
}

// isDeserted reports whether nobody serves who comes: the newer gateway is gone, and was
// not to end.
func (u *upgrading) isDeserted(ctx context.Context) bool {
	_, retires := u.server.Retiring()
	u.mu.Lock()
	defer u.mu.Unlock()
	return ctx.Err() == nil && !retires && u.sockets != nil
}

// follow follows the orders of the newer gateway, until there is none any more.
func (u *upgrading) follow(ctx context.Context, s *upgrade.Successor) {
	defer context.AfterFunc(ctx, s.Interrupt)()
	for {
		switch s.Next() {
		case upgrade.Stop:
			u.drop()
			u.leave.passOn()
		case upgrade.Passed:
			u.drop()
		case upgrade.Gone:
			if ctx.Err() == nil {
				s.Close()
			}
			return
		}
	}
}
