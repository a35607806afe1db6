package gateway

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"postern/policy"
)

// SessionState is how far a session is.
type SessionState string

// The states of a session: it waits for its turn, its child works, or it is on its
// way to its end.
const (
	SessionWaiting SessionState = "waiting"
	SessionRunning SessionState = "running"
	SessionEnding  SessionState = "ending"
)

// Session is what an allowed session does, as of a moment.
type Session struct {
	// ID is the one in the trail.
	ID     string `json:"session"`
	Client string `json:"client"`
	// Address is the peer's, with its port, and Key the key's fingerprint.
	Address string `json:"address"`
	Key     string `json:"key"`
	Tool    string `json:"tool"`
	// Direction is seen from the client.
	Direction string `json:"direction"`
	// Paths are what an rsync reads or the one that it writes to, and for borg the
	// folders that its repositories may be in.
	Paths []string `json:"paths"`
	// What says in words what it does.
	What string `json:"what"`
	// Since is when it was allowed.
	Since time.Time `json:"since"`
	// In is how many bytes came from the client so far; Out and Err went to it.
	In    int64        `json:"in"`
	Out   int64        `json:"out"`
	Err   int64        `json:"err"`
	State SessionState `json:"state"`
}

// carried counts the bytes of a session so far.
type carried struct{ in, out, err atomic.Int64 }

// Sessions returns the sessions of this moment, the oldest first.
func (s *Server) Sessions() []Session {
	all := []Session{}
	for _, g := range s.sessions.all() {
		all = append(all, g.now())
	}
	sortSessions(all)
	return all
}

func sortSessions(all []Session) {
	slices.SortFunc(all, func(a, b Session) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}

// Connections returns how many connections there are, those on their way in too.
func (s *Server) Connections() int { return s.connections.size() }

// byOperator is the cause of an end that a person asked for.
var byOperator = &revocation{why: "by the operator"}

// Kill ends the sessions that are chosen, as if they were not allowed any more: within
// a second, and their clients read why. Connections stay. It returns those sessions as
// they were when they had ended; one that the context did not wait for is on its way.
func (s *Server) Kill(ctx context.Context, chosen func(Session) bool) []Session {
	var ending []*grant
	for _, g := range s.sessions.all() {
		if chosen(g.now()) {
			g.session.cancel(byOperator)
			ending = append(ending, g)
		}
	}
	killed := []Session{}
	for _, g := range ending {
		select {
		case <-g.over.reached:
		case <-ctx.Done():
		}
		killed = append(killed, g.now())
	}
	sortSessions(killed)
	return killed
}

// show is the gate that every session passes: behind it the session is among those of
// the gateway.
func (g *grant) show() (hide func(), _ *policy.Refusal) {
	g.since, g.over = g.session.server.config.Now(), newStage()
	sessions := &g.session.server.sessions
	sessions.add(g)
	return func() {
		sessions.remove(g)
		g.over.reach()
	}, nil
}

// now is what the session does at this moment.
func (g *grant) now() Session {
	s, d := g.session, g.decision
	return Session{
		ID: s.id, Client: s.about.Client, Address: s.about.Address, Key: s.about.Key,
		Tool: string(d.Tool), Direction: string(d.Direction), Paths: placesOf(d), What: inWords(d),
		Since: g.since.UTC(), In: s.carried.in.Load(), Out: s.carried.out.Load(), Err: s.carried.err.Load(),
		State: g.state(),
	}
}

func (g *grant) state() SessionState {
	select {
	case <-g.session.ctx.Done():
		return SessionEnding
	case <-g.session.closed:
		return SessionEnding
	default:
	}
	if g.session.started.Load() {
		return SessionRunning
	}
	return SessionWaiting
}

// placesOf are the paths of an allowed request.
func placesOf(d policy.Decision) []string {
	var places []string
	if d.Tool != policy.Rsync {
		for _, rule := range d.Rules {
			places = append(places, rule.Path)
		}
		return places
	}
	for _, name := range d.Paths() {
		if !path.IsAbs(name) {
			name = path.Join(d.Dir, name)
		}
		places = append(places, path.Clean(name))
	}
	return places
}

// inWords says what an allowed request does.
func inWords(d policy.Decision) string {
	what := "uses borg in "
	switch {
	case d.Direction == policy.Pull:
		what = "reads "
	case d.Direction == policy.Push && d.Stores:
		what = "writes to "
	case d.Direction == policy.Push:
		what = "compares with "
	}
	return what + strings.Join(placesOf(d), ", ")
}
