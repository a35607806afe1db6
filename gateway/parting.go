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

// explain tells the client why its session ends. The end must wait for done, which
// a client cannot hold up for long: one that learns of both at once shows the end
// alone.
func (s *session) explain(r *revocation) (done func()) {
	told := make(chan struct{})
	s.spawn(func() {
		defer close(told)
		s.say(s.channel.Stderr(), "postern: ended: "+r.Error()+"\n")
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

// part waits until the client, whose sessions have ended, has left by itself, for
// a while: closing before would take from it what it has not read yet.
func (c *connection) part() {
	limit := time.NewTimer(partingLimit / 2)
	defer limit.Stop()
	select {
	case <-c.closed.reached:
	case <-limit.C:
	}
}
