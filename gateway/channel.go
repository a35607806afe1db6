package gateway

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	gliderssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"
)

// handleRequest refuses a request that concerns the whole connection:
// forwardings, mostly.
func (c *connection) handleRequest(_ gliderssh.Context, _ *gliderssh.Server, req *ssh.Request) (bool, []byte) {
	defer c.survive()
	c.tally.add(req.Type)
	if !c.requests.take() {
		c.end(endBudget)
	}
	return false, nil
}

// handleOther refuses a channel that is no session.
func (c *connection) handleOther(_ *gliderssh.Server, _ *ssh.ServerConn, nc ssh.NewChannel, _ gliderssh.Context) {
	defer c.survive()
	c.refuseChannel(nc, nc.ChannelType(), ssh.Prohibited, "only sessions are served here")
}

// refuseChannel refuses a channel, at the expense of the budget.
func (c *connection) refuseChannel(nc ssh.NewChannel, kind string, reason ssh.RejectionReason, why string) {
	c.tally.add("channel " + kind)
	if !c.channels.take() {
		c.end(endBudget)
		return
	}
	// A peer that cannot be told is gone.
	_ = nc.Reject(reason, "postern: refused: "+why)
}

// handleSession serves one session channel until its client closes it.
func (c *connection) handleSession(_ *gliderssh.Server, conn *ssh.ServerConn, nc ssh.NewChannel, _ gliderssh.Context) {
	if !c.handlers.join() {
		return
	}
	defer c.handlers.leave()
	defer c.survive()
	who, ok := identityOf(conn)
	if !ok {
		panic("a channel was opened by nobody")
	}
	if !c.slot() {
		c.refuseChannel(nc, "session", ssh.ResourceShortage, fmt.Sprintf(
			"%d sessions are the most on one connection; close one, or open another connection", cap(c.slots)))
		return
	}
	defer func() { <-c.slots }()
	channel, requests, err := nc.Accept()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	s := &session{
		connection: c,
		channel:    channel,
		input:      &soleReader{from: channel},
		id:         fmt.Sprintf("%s.%d", c.about.ID, c.served.Add(1)),
		who:        who,
		ctx:        ctx,
		cancel:     cancel,
		closed:     make(chan struct{}),
		budget:     budget{now: c.server.config.Now},
	}
	s.serve(requests)
}

// slotPatience is how long a channel waits for a place. A client that has closed
// one and opens the next is faster than the gateway at times.
const slotPatience = time.Second

// slot takes a place among the connection's sessions; there are not more that
// wait than there are places.
func (c *connection) slot() bool {
	select {
	case c.slots <- struct{}{}:
		return true
	default:
	}
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > int64(cap(c.slots)) {
		return false
	}
	timer := time.NewTimer(slotPatience)
	defer timer.Stop()
	select {
	case c.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-c.ctx.Done():
	}
	return false
}

// session is one session channel.
type session struct {
	*connection
	channel ssh.Channel
	// input is what the client sends.
	input *soleReader
	id    string
	who   *Identity

	// ctx is done when the session ends, if not for its connection then by
	// cancel; its cause says why.
	ctx    context.Context
	cancel context.CancelCauseFunc

	// closed is closed when the client has closed the channel, or is gone.
	// The end of its input is something else, and not seen here.
	closed chan struct{}
	// work is what the channel waits for: the request and its streams.
	work sync.WaitGroup
	// streams are those of the child, once it runs.
	streams atomic.Pointer[outlets]

	// borg says that the client is, or may be, a borg.
	borg bool
	// taken says that the one request that a channel may run has come.
	taken bool
	// started says that its child was, and carried is what went through it.
	started atomic.Bool
	carried carried
	budget  budget
	tally   tally
}

// serve answers the requests on the channel. It must take them until there are
// no more, or the whole connection stops.
func (s *session) serve(requests <-chan *ssh.Request) {
	defer s.work.Wait()
	defer close(s.closed)
	defer func() {
		for range requests { // only after a panic are there any left
		}
	}()
	defer s.survive()
	// Nobody reads what a client sends there, but it must not pile up.
	s.spawn(func() { discard(s.channel.Stderr()) })
	for req := range requests {
		s.answer(req)
	}
	if counts := s.tally.take(); counts != nil {
		// What was refused did not happen, recorded or not.
		_ = s.server.config.Trail.RequestsRefused(s.about, s.id, counts)
	}
	if !s.taken && !s.channels.take() {
		s.end(endBudget)
	}
}

// answer answers one request. The first exec or shell is taken; a pty, a
// variable, an agent and whatever else there is, is refused, which a client that
// merely asks for it survives.
func (s *session) answer(req *ssh.Request) {
	if !s.budget.take() {
		s.refuse(req)
		s.end(endBudget)
		return
	}
	if s.taken {
		s.refuse(req)
		return
	}
	switch req.Type {
	case "exec":
		s.taken = true
		command, ok := execString(req.Payload)
		if !ok {
			s.refuse(req)
			// The client is gone where this fails.
			_ = s.channel.Close()
			return
		}
		s.take(req, func() { s.run(command) })
	case "shell":
		s.taken = true
		s.take(req, s.describe)
	default:
		s.refuse(req)
	}
}

// refuse says no. Requests that want no answer are counted all the same.
func (s *session) refuse(req *ssh.Request) {
	s.tally.add(req.Type)
	_ = req.Reply(false, nil)
}

// take accepts a request and serves it beside those that still come.
func (s *session) take(req *ssh.Request, serve func()) {
	if !s.sessions.join() {
		s.refuse(req)
		return
	}
	s.busy.reach()
	s.spawn(func() {
		defer s.sessions.leave()
		_ = req.Reply(true, nil)
		serve()
	})
}

// soleReader lets one goroutine read at a time: of two that wait for data on a
// channel the library wakes only one when there is no more.
type soleReader struct {
	mu   sync.Mutex
	from io.Reader
}

// Read implements [io.Reader].
func (r *soleReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from.Read(b)
}

// discard reads until the client has closed the channel.
func discard(from io.Reader) { _, _ = io.Copy(io.Discard, from) }

// spawn runs f in a goroutine that the channel waits for.
func (s *session) spawn(f func()) {
	s.work.Go(func() {
		defer s.survive()
		f()
	})
}

// execString reads the payload of an exec request: one string and nothing else.
func execString(payload []byte) (string, bool) {
	const prefix = 4
	if len(payload) < prefix || uint64(binary.BigEndian.Uint32(payload)) != uint64(len(payload)-prefix) {
		return "", false
	}
	return string(payload[prefix:]), true
}
