package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/gateway/door"
	"postern/gateway/limit"
	"postern/gateway/usage"
	"postern/gateway/writers"
	"postern/policy"
	"postern/registry"
	"postern/sandbox"
)

// The defaults of a [Config].
const (
	DefaultSessionsPerConnection = 10
	DefaultKeepAlive             = 15 * time.Second
	DefaultLoginGrace            = 20 * time.Second
	// DefaultProxyGrace is for a packet that is lost and sent again twice: a proxy
	// knows what to say when it connects.
	DefaultProxyGrace = 5 * time.Second
	DefaultKillGrace  = 5 * time.Second
)

// Config is what a gateway serves, to whom. Zero numbers and durations stand for
// the defaults.
type Config struct {
	// HostKeys prove the gateway to its clients; at least one, and one of
	// each type. The gateway never makes one up.
	HostKeys []ssh.Signer
	// Clients is who may come in. The set of the moment counts, for each
	// login and for each session.
	Clients *registry.Store
	// Host is the machine that decisions are for.
	Host policy.Host
	// Confinement is how the kernel holds every child: what sandbox.Probe
	// found, or less where the operator asked for less. It must be said, and
	// Host.Hold is what follows from it.
	Confinement sandbox.Level
	// Trail gets a record of everything. What it cannot record does not
	// happen.
	Trail *audit.Trail
	// Files is which files of a session get records; empty is all of them.
	Files audit.Detail
	// Authorities and Revocations are what certificates, and revoked keys,
	// are measured against at first: see [Trust] and [Server.Replace].
	Authorities []ssh.PublicKey
	Revocations Revocations
	// SessionsPerConnection is how many sessions one connection may run at
	// once.
	SessionsPerConnection int
	// Door says which connections are served at all; nil stands for one with the
	// defaults, which knows nobody.
	Door *door.Door
	// Proxies are the networks of the proxies that say whom they connect for, in a
	// header of the PROXY protocol. From there a header must come; from elsewhere
	// none is read.
	Proxies []netip.Prefix
	// Version is told to every peer before it has proved anything; empty
	// tells the name alone. Only letters, digits and "._+~" are sent.
	Version string
	// Self is the binary whose main calls sandbox.Main; empty means this one.
	Self string
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// KeepAlive is how long a peer may be silent before it is asked whether
	// it is there, and Idle how long until it is given up, where its client has
	// no time of its own for that; zero stands for four times KeepAlive. It is
	// asked three times at least, however short that is.
	KeepAlive, Idle time.Duration
	// LoginGrace is how long a peer has to prove who it is.
	LoginGrace time.Duration
	// ProxyGrace is how long a proxy has for its header.
	ProxyGrace time.Duration
	// KillGrace is how long a child that lost its client gets at each stage:
	// after the end of its input until TERM, and then until KILL.
	KillGrace time.Duration
}

// Server is a gateway. It serves once.
type Server struct {
	config      Config
	hostKeys    []ssh.MultiAlgorithmSigner
	algorithms  ssh.Config
	connections *crew
	// buffers hold *[streamBuffer]byte.
	buffers sync.Pool
	// children are those that run.
	children atomic.Int64
	// hostProcesses is what [hostProcesses] said.
	hostProcesses uint64
	// trusted is what certificates are measured against at the moment, and peers
	// are the connections of clients.
	trusted atomic.Pointer[Trust]
	peers   roll[*connection]
	// sessions are those that were allowed.
	sessions  roll[*grant]
	acceptors roll[*acceptor]
	// life is done, by end, when sessions must not go on; before that it may
	// retire.
	life       context.Context
	end        context.CancelFunc
	retirement retirement
	// accounts are what clients have of the gateway at the moment.
	accounts limit.Accounts
	// turns are those of sessions that write in the same folders, and meter counts what
	// those hold.
	turns *writers.Turns
	meter *usage.Meter
}

// New returns a gateway, or why the configuration cannot be one.
func New(config Config) (*Server, error) {
	if config.Clients == nil || config.Trail == nil {
		return nil, errors.New("a gateway needs clients and a trail")
	}
	if config.Confinement == 0 {
		return nil, errors.New("a gateway must be told how its children are held")
	}
	keys, err := hostKeys(config.HostKeys)
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:        config.withDefaults(),
		hostKeys:      keys,
		algorithms:    modern(),
		connections:   newCrew(),
		hostProcesses: hostProcesses(),
		buffers:       sync.Pool{New: func() any { return new([streamBuffer]byte) }},
		retirement:    retirement{shut: newStage(), begun: newStage()},
		turns:         writers.New(openToRead),
		meter:         usage.NewMeter(sandbox.OpenPath),
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.config.Door.Expect(s.config.Clients.Load().Sources())
	s.trusted.Store(&Trust{Authorities: config.Authorities, Revocations: config.Revocations})
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.SessionsPerConnection == 0 {
		c.SessionsPerConnection = DefaultSessionsPerConnection
	}
	if c.Self == "" {
		c.Self = "/proc/self/exe"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Door == nil {
		c.Door = door.New(door.Config{Now: c.Now})
	}
	c.Host.Hold = HoldOf(c.Confinement)
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&c.KeepAlive, DefaultKeepAlive}, {&c.LoginGrace, DefaultLoginGrace}, {&c.KillGrace, DefaultKillGrace},
		{&c.ProxyGrace, DefaultProxyGrace},
	} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if c.Idle == 0 {
		c.Idle = leastPauses * c.KeepAlive
	}
	return c
}

// Serve accepts connections until [Server.StepAside], [Server.Retire] or [Server.Hurry]
// is called, which the end of the context does too, and returns once nothing of it is
// left: no listener, no child, no goroutine. A listener that somebody else closed is
// an error, and ends the rest too.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	if len(listeners) == 0 {
		return errors.New("there is no address to listen on")
	}
	defer context.AfterFunc(ctx, s.Hurry)()
	failures := make([]error, len(listeners))
	var accepting sync.WaitGroup
	for i, l := range listeners {
		a := &acceptor{l, make(chan struct{}, 1)}
		s.acceptors.add(a)
		accepting.Go(func() {
			if failures[i] = s.accept(a); failures[i] != nil {
				s.Hurry()
			}
		})
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { s.watchExpiry(over) })
	<-s.retirement.shut.reached
	for _, l := range listeners {
		l.Close()
	}
	accepting.Wait()
	<-s.connections.dismiss()
	s.retirement.over()
	close(over)
	watching.Wait()
	s.meter.Close()
	s.end()
	return errors.Join(failures...)
}

// The pauses after failures to accept, as when descriptors have run out.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// accept takes connections from one listener until that is shut.
func (s *Server) accept(l *acceptor) error {
	shut := s.retirement.shut
	for pause := minPause; !shut.isReached(); {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = minPause
			s.welcome(conn)
		case shut.isReached(): // the listener was closed for that
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.turn()
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listen on %s: %w", l.Addr(), err)
		default:
			// A record that fails here changes nothing: nothing was accepted.
			_ = s.config.Trail.ListenerFailed(l.Addr().String(), err)
			rest(shut, pause)
			pause = min(2*pause, maxPause)
		}
	}
	return nil
}

// rest waits, but not longer than until the stage is reached.
func rest(until stage, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-until.reached:
	}
}

// welcome serves a connection in a goroutine of its own, if the door lets it in.
func (s *Server) welcome(conn net.Conn) {
	if !s.connections.join() {
		conn.Close()
		return
	}
	c := newConnection(s, conn)
	if err := c.arrive(); err != nil {
		c.turnAway(err)
		s.connections.leave()
		return
	}
	go func() {
		defer s.connections.leave()
		c.run()
	}()
}
