package gateway

import (
	"context"
	"errors"
	"time"
)

// revoked returns why what the context is of may not go on, if that is what ended it.
func revoked(ctx context.Context) (*revocation, bool) {
	var r *revocation
	ok := errors.As(context.Cause(ctx), &r)
	return r, ok
}

// parting returns what a client is told when its session, or the connection, ends for
// a reason that it cannot know.
func parting(ctx context.Context) (text string, told bool) {
	if r, ok := revoked(ctx); ok {
		return r.Error(), true
	}
	if why := whyDone(ctx); ctx.Err() != nil && (why == endStopping || why == endUpgraded) {
		return string(why) + "; try again later", true
	}
	return "", false
}

// explain tells the client why its session ends. The end must wait for done, which
// a client cannot hold up for long: one that learns of both at once shows the end
// alone.
func (s *session) explain(text string) (done func()) {
	told := make(chan struct{})
	s.spawn(func() {
		defer close(told)
		s.streams.Load().conclude("postern: ended: " + text + "\n")
		s.settle(partingLimit)
	})
	limit := time.NewTimer(partingLimit)
	return func() {
		defer limit.Stop()
		select {
		case <-told:
		case <-limit.C:
		}
	}
}

// part waits until the client, whose sessions have ended, has left, for a while:
// closing before would take from it what it has not read yet. One that does not leave
// by itself does so at the end of what it can read, and complains of that.
func (c *connection) part() {
	if c.leavesWithin(partingLimit / 2) {
		return
	}
	if line, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = line.CloseWrite() // it fails when the client has left
		c.leavesWithin(partingLimit / 2)
	}
}

// leavesWithin reports whether the client leaves before the time is over.
func (c *connection) leavesWithin(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.closed.reached:
		return true
	case <-timer.C:
		return false
	}
}
