package gateway

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/policy"
	"postern/registry"
)

const (
	// expiryPause is how often it is looked whether somebody's time is over. A
	// timer for the moment itself would not notice that the clock was set.
	expiryPause = 250 * time.Millisecond
	// revokeGrace is how long the child of a session that is no longer allowed
	// gets at each of the two stages, so that it is gone within a second.
	revokeGrace = 350 * time.Millisecond
	// partingLimit is how long a client that is no longer allowed has to take in
	// why.
	partingLimit = 500 * time.Millisecond
)

// revocation is why something ends that was allowed, as the client reads it and the
// records keep it.
type revocation struct {
	why string
	// code names the limit that ended it; empty where none did.
	code string
	// full has the child stop at once, and gives it time to clean up.
	full bool
}

// Error implements error.
func (r *revocation) Error() string { return r.why }

// notAllowed is why what was allowed is not any more.
func notAllowed(why string) *revocation { return &revocation{why: "no longer allowed: " + why} }

// Replace has the gateway go by other clients, and by what else decides who they
// are, from now on. Sessions and connections that would not be allowed any more, or
// only on stricter terms, end within a second; the others go on. It does not wait
// for those ends.
func (s *Server) Replace(clients *registry.Set, trust Trust) {
	s.trusted.Store(&trust)
	s.config.Clients.Swap(clients)
	s.config.Door.Expect(s.config.Clients.Load().Sources())
	for _, c := range s.peers.all() {
		c.spawn(c.review)
	}
}

// watchExpiry reviews the connections whose time is over, until the server stops.
func (s *Server) watchExpiry(stopped <-chan struct{}) {
	ticker := time.NewTicker(expiryPause)
	defer ticker.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-ticker.C:
		}
		now := s.config.Now()
		for _, c := range s.peers.all() {
			standing := c.standing.Load()
			if standing.isOver(now) {
				c.spawn(c.review)
			} else {
				c.endOvertime(standing.Client, now)
			}
		}
	}
}

// isOver reports whether the time is over for which the client, or the certificate
// that stands for it, was let in.
func (i *Identity) isOver(now time.Time) bool {
	if expires := i.Client.Expires; !expires.IsZero() && !now.Before(expires) {
		return true
	}
	cert, ok := i.Key.(*ssh.Certificate)
	return ok && cert.ValidBefore <= math.MaxInt64 && now.Unix() >= int64(cert.ValidBefore)
}

// enrol puts the connection where reviews find it. What changed since its peer was
// looked up is found at once.
func (c *connection) enrol() {
	c.standing.Store(c.who)
	c.server.peers.add(c)
	c.review()
}

// review ends what would not be allowed any more: the connection whose peer is not
// let in or is somebody else now, or else single sessions.
func (c *connection) review() {
	c.reviewing.Lock()
	defer c.reviewing.Unlock()
	who, err := c.server.identify(c.who.Peer)
	var denial *registry.Denial
	switch {
	case errors.As(err, &denial):
		c.cancel(notAllowed(denial.Message))
	case err != nil:
		c.cancel(notAllowed(err.Error()))
	case who.Client.Name != c.who.Client.Name:
		c.cancel(notAllowed(fmt.Sprintf("the key is of client %q now", who.Client.Name)))
	default:
		c.standing.Store(&who)
		c.account.Apply(who.Client.Bounds)
		for _, g := range c.grants.all() {
			client := who.Client
			client.Rules = slices.Clone(client.Rules)
			g.review(client)
		}
	}
}

// grant is what a session that runs was allowed.
type grant struct {
	session *session
	request policy.Request
	// tree answers as it did when the decision was made, so that only a change
	// of the rules can lead to another one.
	tree     *remembering
	decision policy.Decision
	// rule is the one of an rsync as it is at the moment: what its folder may hold can
	// change while the session goes on.
	rule atomic.Pointer[policy.Rule]
	// home is what relative paths were relative to.
	home policy.Rule
	// since is when it was given, and over is reached when the session has ended.
	since time.Time
	over  stage
	// client is who it was that the decision was made for.
	client registry.Client
}

// enrol puts the grant where reviews find it, until leave is called.
func (g *grant) enrol() (leave func()) {
	c := g.session.connection
	c.grants.add(g)
	c.review()
	return func() { c.grants.remove(g) }
}

// review ends the session unless the rules of the client still allow as much.
func (g *grant) review(client registry.Client) {
	// A rule that was put before the others does not move what runs.
	slices.SortStableFunc(client.Rules, func(a, b policy.Rule) int { return g.isHome(b) - g.isHome(a) })
	server := g.session.server
	d := decide(client, server.config.Host, g.request, g.tree)
	if what := d.TakesBack(g.decision); what != "" {
		g.session.cancel(notAllowed(what))
	} else if d.Tool == policy.Rsync {
		g.rule.Store(&d.Rules[0])
	}
	g.endOvertime(client, server.config.Now())
}

// isHome is 1 for the rule that relative paths were relative to, and else 0.
func (g *grant) isHome(r policy.Rule) int {
	if r.Tool == g.home.Tool && r.Path == g.home.Path {
		return 1
	}
	return 0
}

// homeOf returns the rule that the relative paths of a tool are relative to.
func homeOf(c registry.Client, tool policy.Tool) policy.Rule {
	for _, r := range c.Rules {
		if r.Tool == tool {
			return r
		}
	}
	return policy.Rule{}
}

// roll is who is there at the moment. The zero value is empty.
type roll[T comparable] struct {
	mu      sync.Mutex
	present map[T]struct{}
}

func (r *roll[T]) add(one T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.present == nil {
		r.present = map[T]struct{}{}
	}
	r.present[one] = struct{}{}
}

func (r *roll[T]) remove(one T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.present, one)
}

func (r *roll[T]) all() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.present))
}
