package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gliderssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/gateway/door"
	"postern/gateway/limit"
)

// ending is why a connection or a session ended, as records spell it.
type ending string

// Error makes an ending the cause of a context.
func (e ending) Error() string { return string(e) }

const (
	endExited   ending = "the program ended"
	endClosed   ending = "the client closed the channel"
	endLeft     ending = "the client left"
	endLost     ending = "the connection was lost"
	endSilent   ending = "the client answered no keepalive"
	endGrace    ending = "nobody proved who they are in time"
	endBudget   ending = "too many requests that are refused"
	endPanic    ending = "the gateway had a fault"
	endStopping ending = "the gateway stops"
	endUpgraded ending = "the gateway was upgraded"
	endCrowded  ending = "it gave way to another from its source"
)

// connection is one peer. It is the [net.Conn] that the SSH library reads and
// writes, so that it sees what the library does not tell: whether the peer
// still speaks, and whether the line was cut.
type connection struct {
	net.Conn
	server *Server
	peer   netip.AddrPort
	start  time.Time

	// ctx is done when the connection ends; its cause is an ending.
	ctx    context.Context
	cancel context.CancelCauseFunc
	grace  *time.Timer
	// handlers are the goroutines that the connection must wait for, and
	// sessions the requests that are being served.
	handlers, sessions *crew
	// busy is reached with the first session.
	busy stage

	// heard counts reads; cut says that there will be no more.
	heard atomic.Uint64
	cut   atomic.Bool
	// asking says that the peer is being asked whether it is there.
	asking atomic.Bool

	// The stages of a handshake, each closed once: the keys are exchanged,
	// the authentication has begun, the connection is closed. ahead is what
	// was read between the first two.
	exchanged, authenticating, closed stage
	ahead                             int

	// visit is how the door counts the connection while it is on its way in, and
	// awaited ends how it counted it before, where a proxy was to say whom it is for.
	visit   *door.Visit
	awaited func()
	// behind is what came with a proxy's header and is still to be read; checking says
	// that the connection is the proxy's own.
	behind   []byte
	checking bool
	// greeted is how much was read of what a client begins with.
	greeted int

	// Only the handshake's goroutine writes these, and nobody reads them
	// before it is over.
	about      audit.Connection
	preauth    ssh.ServerPreAuthConn
	keyRefused *audit.KeyRefusal
	tries      int
	who        *Identity
	// failed is the worst that the peer failed at, and blameless says that it was
	// not let in for a failure of the gateway's, or because its client is here
	// already.
	failed    door.Outcome
	blameless bool
	// account is of the peer's client; nil until it is let in.
	account *limit.Account

	// standing is who the peer is by the clients of the moment, and grants are
	// what its sessions were allowed. One review goes on at a time.
	standing  atomic.Pointer[Identity]
	grants    roll[*grant]
	reviewing sync.Mutex

	// slots has an element for each session channel that is open, waiting
	// counts those that wait for one, and served those that ever were.
	slots           chan struct{}
	waiting, served atomic.Int64
	// channels and requests are the budgets for what comes to nothing.
	channels, requests budget
	tally              tally
}

func newConnection(s *Server, conn net.Conn) *connection {
	c := &connection{
		Conn: conn, server: s, start: s.config.Now(),
		handlers: newCrew(), sessions: newCrew(),
		exchanged: newStage(), authenticating: newStage(), closed: newStage(), busy: newStage(),
		slots:    make(chan struct{}, s.config.SessionsPerConnection),
		channels: budget{now: s.config.Now}, requests: budget{now: s.config.Now},
	}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.peer = tcp.AddrPort()
		c.peer = netip.AddrPortFrom(c.peer.Addr().Unmap(), c.peer.Port())
	}
	c.about = audit.Connection{ID: newID(c.start), Address: c.peer.String()}
	c.ctx, c.cancel = context.WithCancelCause(s.life)
	return c
}

// newID names a connection that began at a time: the seconds since 1970, which
// tell a reader of the trail where to look, and as much chance. Nobody must guess
// it, or a client could make a record look like another's.
func newID(start time.Time) string {
	id := binary.BigEndian.AppendUint32(nil, uint32(start.Unix()))
	id = append(id, make([]byte, 4)...)
	rand.Read(id[4:])
	return hex.EncodeToString(id)
}

// run serves the connection to its end, and to the end of everything that it
// started.
func (c *connection) run() {
	var watch sync.WaitGroup
	watch.Go(c.windDown)
	c.grace = time.AfterFunc(c.server.config.LoginGrace, func() { c.end(endGrace) })
	var failure error
	introduced := c.introduced()
	if introduced {
		failure = c.handshakeAndServe()
	}
	c.leave()
	c.grace.Stop()
	c.end(c.leaving())
	c.server.peers.remove(c)
	<-c.handlers.dismiss()
	watch.Wait()
	if introduced {
		c.recordEnd(failure)
	}
}

// handshakeAndServe returns when the peer is gone, and why it was not let in.
func (c *connection) handshakeAndServe() (failure error) {
	defer c.survive()
	if !c.peer.IsValid() {
		return errors.New("the peer has no IP address")
	}
	s := &gliderssh.Server{
		Version:              c.server.software(),
		PublicKeyHandler:     c.offered,
		ServerConfigCallback: c.authentication,
		ChannelHandlers:      map[string]gliderssh.ChannelHandler{"session": c.handleSession, "default": c.handleOther},
		RequestHandlers:      map[string]gliderssh.RequestHandler{"default": c.handleRequest},
		ConnectionFailedCallback: func(_ net.Conn, err error) {
			failure = err
		},
	}
	for _, key := range c.server.hostKeys {
		s.HostSigners = append(s.HostSigners, hostKey{key, c.exchanged.reach})
	}
	defer c.drain()
	s.HandleConn(c)
	return failure
}

// software is what the gateway calls itself.
func (s *Server) software() string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~"
	if s.config.Version == "" || strings.Trim(s.config.Version, letters) != "" {
		return "postern"
	}
	return "postern_" + s.config.Version
}

// admit lets a peer in whose identity is proved.
func (c *connection) admit(peer ssh.ConnMetadata, who Identity) error {
	c.about.Login, c.about.Software = peer.User(), string(peer.ClientVersion())
	c.about.Client, c.about.Key, c.about.Certificate = who.Client.Name, who.Fingerprint, who.Certificate
	if err := c.server.config.Trail.ConnectionAccepted(c.about); err != nil {
		return err
	}
	c.who = &who
	c.visit.End(door.Proved)
	c.grace.Stop()
	c.enrol()
	return nil
}

// end closes the connection. The first reason counts.
func (c *connection) end(why ending) {
	c.cancel(why)
	c.Close()
}

// leaving is the reason when the peer ended the connection.
func (c *connection) leaving() ending {
	if c.cut.Load() {
		return endLost
	}
	return endLeft
}

// why is the reason once the context is done.
func (c *connection) why() ending { return whyDone(c.ctx) }

// whyDone is why a context of a connection or a session is done.
func whyDone(ctx context.Context) ending {
	if r, ok := revoked(ctx); ok {
		return ending(r.Error())
	}
	var e ending
	if errors.As(context.Cause(ctx), &e) {
		return e
	}
	return endStopping
}

// windDown closes the connection when the gateway stops, or when its client is no
// longer allowed, once its sessions have ended; children that will not end, and clients
// that are told why, get their time.
func (c *connection) windDown() {
	select {
	case <-c.ctx.Done():
	case <-c.server.retirement.shut.reached:
		why := endUpgraded
		c.awaitWork()
		if c.server.retirement.begun.isReached() {
			why = endStopping
		}
		c.finishWork(why)
	}
	limit := time.NewTimer(3*c.server.config.KillGrace + partingLimit)
	defer limit.Stop()
	select {
	case <-c.sessions.dismiss():
	case <-limit.C:
	}
	if _, told := parting(c.ctx); told && c.served.Load() > 0 {
		c.part()
	}
	c.Close()
}

// survive ends a connection whose goroutine panicked, and nothing else. It is
// deferred in every goroutine of the connection.
func (c *connection) survive() {
	if cause := recover(); cause != nil {
		// The gateway goes on even where this cannot be recorded.
		_ = c.server.config.Trail.Panicked(c.about, fmt.Sprint(cause), string(debug.Stack()))
		c.end(endPanic)
	}
}

// spawn runs f in a goroutine that the connection waits for, unless it is over.
func (c *connection) spawn(f func()) {
	if !c.handlers.join() {
		return
	}
	go func() {
		defer c.handlers.leave()
		defer c.survive()
		f()
	}()
}

// recordEnd writes the last records, which nothing depends on any more.
func (c *connection) recordEnd(failure error) {
	trail := c.server.config.Trail
	if counts := c.tally.take(); counts != nil {
		_ = trail.RequestsRefused(c.about, "connection", counts)
	}
	if c.who != nil {
		_ = trail.ConnectionEnded(c.about, c.server.config.Now().Sub(c.start), int(c.served.Load()), string(c.why()))
		return
	}
	c.visit.End(c.outcome())
	if c.unsaid() {
		return
	}
	why := c.why()
	if failure != nil && (why == endLeft || why == endLost) {
		_ = trail.ConnectionRefused(c.about, failure.Error())
		return
	}
	_ = trail.ConnectionRefused(c.about, string(why))
}

// Read implements [net.Conn].
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.next(b[:c.hold(len(b))])
	if n > 0 {
		if bad := c.greet(b[:n]); bad != nil {
			n, err = 0, bad
		}
		c.heard.Add(1)
		if c.exchanged.isReached() {
			c.ahead += n
		}
	}
	if err != nil {
		c.cut.Store(true)
	}
	return n, err
}

// next reads what came with a proxy's header, and then from the peer.
func (c *connection) next(b []byte) (int, error) {
	if len(c.behind) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.behind)
	c.behind = c.behind[n:]
	return n, nil
}

// SetDeadline does nothing: the library sets one without a time at each read and
// write, which costs a lock and would undo any other.
func (c *connection) SetDeadline(time.Time) error { return nil }

// Close implements [net.Conn].
func (c *connection) Close() error {
	defer c.closed.reach() // not before: see hold
	return c.Conn.Close()
}
