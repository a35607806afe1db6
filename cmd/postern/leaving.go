package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"postern/audit"
	"postern/gateway"
)

// leaving has a gateway end by signals: the first lets its sessions finish up to a
// limit, and another one ends them.
type leaving struct {
	signals chan os.Signal
	limit   time.Duration
	server  *gateway.Server
	trail   *audit.Trail
	// pass passes on a signal to the gateways before this one.
	pass func()
	// why it ended, once run has returned.
	why string
}

// unasked is why a gateway ended that was told nothing.
const unasked = "nobody asked"

// passOn does what a signal does, which the gateway got that took over from this one.
func (l *leaving) passOn() {
	select {
	case l.signals <- syscall.SIGTERM:
	default: // two are all that count
	}
}

// newLeaving catches the signals from now on.
func newLeaving() *leaving {
	l := &leaving{signals: make(chan os.Signal, 2), why: unasked}
	signal.Notify(l.signals, syscall.SIGTERM, syscall.SIGINT)
	return l
}

func (l *leaving) run(ctx context.Context) {
	select {
	case first := <-l.signals:
		l.pass()
		l.why = first.String() + " signal received"
		l.retire()
	case <-ctx.Done():
		return
	}
	select {
	case <-l.signals:
		l.pass()
		l.why += ", and another one"
		l.server.Hurry()
	case <-ctx.Done():
	}
}

// retire serves nobody new. A gateway that has to wait for nobody only stops.
func (l *leaving) retire() {
	stopping(l.limit)
	until := time.Now().Add(l.limit)
	if n := len(l.server.Sessions()); n > 0 && l.limit > 0 {
		// A gateway that cannot record it ends all the same.
		_ = l.trail.GatewayDraining(l.why, n, until)
	}
	l.server.Retire(l.limit)
	tell("STATUS=" + activityOf(l.server))
}

// reason says why the gateway has ended.
func (l *leaving) reason(err error, upgraded bool) string {
	switch {
	case err != nil:
		return err.Error()
	case upgraded && l.why == unasked:
		return "another gateway took over, and the last session has ended"
	}
	return l.why
}
