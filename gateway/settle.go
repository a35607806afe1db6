package gateway

import (
	"io"
	"time"
)

const (
	// settleLimit is how long a client has to take in what it was told.
	settleLimit = time.Second
	// settleShare is the share of a session's time that may be spent on
	// that, beside settleLimit once: a program that never stops complaining
	// still gets its work done.
	settleShare = 10
	// borgPause is how long a borg has to show why it was refused.
	borgPause = 500 * time.Millisecond
)

// settle waits until the client has taken in what was said so far, and reports
// whether it has. An answer to any request shows it, since a client reads in
// order. Clients that get the end of a session, or a message that makes them
// leave, together with what was said on standard error never show the latter:
// borg looks at its input first, and rsync ends its ssh before that has printed.
func (s *session) settle(limit time.Duration) bool {
	answered := make(chan struct{})
	s.spawn(func() {
		defer close(answered)
		// A refusal is an answer; an error means that the client has left.
		_, _ = s.channel.SendRequest(keepaliveRequest, true, nil)
	})
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-answered:
		return true
	case <-s.closed:
	case <-timer.C:
	}
	return false
}

// hearken waits until the client's own program has begun to talk, or has ended
// its input. One that still starts would find what it was told and the end of
// the session at once, however long ago its ssh took in the former.
func (s *session) hearken(input io.Reader) {
	spoken := make(chan struct{})
	s.spawn(func() {
		defer close(spoken)
		// An error is the end of the input; what it said is of no use.
		_, _ = input.Read(make([]byte, 1))
	})
	timer := time.NewTimer(settleLimit)
	defer timer.Stop()
	select {
	case <-spoken:
	case <-s.closed:
	case <-timer.C:
	}
}

// linger gives a borg time to read why it was refused before the session ends.
// When both wait for it, it looks at the end first and forgets the rest (select
// in remote.py), and nothing tells the gateway whether it has been scheduled.
func (s *session) linger() {
	timer := time.NewTimer(borgPause)
	defer timer.Stop()
	select {
	case <-s.closed:
	case <-s.ctx.Done():
	case <-timer.C:
	}
}

// patience is the time that a session may still spend on settling.
type patience struct {
	settle func(limit time.Duration) bool
	start  time.Time
	spent  time.Duration
	// lost says that the client did not answer once; it is not asked again.
	lost bool
}

// wait settles, if there is patience left.
func (p *patience) wait() {
	left := settleLimit + time.Since(p.start)/settleShare - p.spent
	if p.lost || left <= 0 {
		return
	}
	begun := time.Now()
	p.lost = !p.settle(min(left, settleLimit))
	p.spent += time.Since(begun)
}
