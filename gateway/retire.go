package gateway

import (
	"sync"
	"time"

	"postern/policy"
)

// retirement is how long the sessions of a gateway that serves nobody new may go on.
type retirement struct {
	// shut is reached when nobody is accepted any more, and begun when nobody new
	// is served either.
	shut, begun stage

	mu sync.Mutex
	// until is zero while there is no limit; hurry keeps it.
	until time.Time
	hurry *time.Timer
}

// StepAside has the gateway accept nobody any more, since another one does on the same
// sockets: [Server.Serve] closes its listeners. Whoever is connected is served as
// before. A connection ends after its last session, or, where it never had one, when
// the time to log in is over; after the last connection Serve returns. StepAside does
// not wait for that.
func (s *Server) StepAside() { s.retirement.shut.reach() }

// Retire has the gateway serve nobody new: [Server.Serve] closes its listeners,
// connections without a session end, and requests on the others are refused.
// Sessions that run may go on up to the limit, and their clients are told of it; then
// they end as by [Server.Hurry]. When the last one has ended, Serve returns. Retire
// does not wait for that. It may be called again: the soonest limit counts.
func (s *Server) Retire(limit time.Duration) {
	r := &s.retirement
	r.begun.reach()
	r.shut.reach()
	if limit <= 0 {
		s.Hurry()
		return
	}
	if !r.shorten(limit, s.Hurry) {
		return
	}
	for _, g := range s.sessions.all() {
		g.session.spawn(g.session.tellLimit)
	}
}

// Hurry ends the sessions of a gateway, and serves nobody new: the input of each
// child ends, and it gets its time to leave by itself.
func (s *Server) Hurry() {
	s.retirement.begun.reach()
	s.retirement.shut.reach()
	s.end()
}

// Retiring reports whether the gateway serves nobody new, and until when its
// sessions may go on: zero where they were told to end at once.
func (s *Server) Retiring() (until time.Time, is bool) {
	r := &s.retirement
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until, r.begun.isReached()
}

// shorten has hurry called at the limit, and reports whether that is sooner than
// it was to be.
func (r *retirement) shorten(limit time.Duration, hurry func()) bool {
	until := time.Now().Add(limit)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.until.IsZero() && !until.Before(r.until) {
		return false
	}
	if r.hurry != nil {
		r.hurry.Stop()
	}
	r.until, r.hurry = until, time.AfterFunc(limit, hurry)
	return true
}

// over forgets the limit of a gateway that has ended.
func (r *retirement) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hurry != nil {
		r.hurry.Stop()
	}
}

// retired refuses what a gateway that serves nobody new is asked for on a connection
// whose sessions go on.
func retired() *policy.Refusal {
	return &policy.Refusal{
		Code: "gateway-stops", Message: "the gateway stops", Remedy: "try again later, on a new connection", Status: policy.ExitRefused,
	}
}

// stillServing is the gate that those do not pass who waited at another one until
// the gateway retired.
func (g *grant) stillServing() (leave func(), _ *policy.Refusal) {
	if g.session.server.retirement.begun.isReached() {
		return nil, retired()
	}
	return nil, nil
}

// finishWork waits until the sessions have ended, and ends the connection.
func (c *connection) finishWork(why ending) {
	select {
	case <-c.sessions.dismissIdle():
		c.cancel(why)
	case <-c.ctx.Done():
	}
}

// awaitWork waits until there was a session, or until it is time for one.
func (c *connection) awaitWork() {
	limit := time.NewTimer(c.server.config.LoginGrace)
	defer limit.Stop()
	select {
	case <-c.busy.reached:
	case <-c.server.retirement.begun.reached:
	case <-c.ctx.Done():
	case <-limit.C:
	}
}

// speakBy has the session speak to its client by the streams of its child.
func (s *session) speakBy(streams *outlets) {
	s.streams.Store(streams)
	s.spawn(s.tellLimit)
}

// tellLimit tells the client how long its session may go on, if there is a limit
// and a child already. How long, not until when: its clock is in a time zone of its
// own.
func (s *session) tellLimit() {
	until, _ := s.server.Retiring()
	streams := s.streams.Load()
	if until.IsZero() || streams == nil {
		return
	}
	left := max(time.Until(until).Round(time.Second), 0)
	streams.interject("postern: the gateway stops; this session may go on for " + left.String() + "\n")
}
