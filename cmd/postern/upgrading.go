package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"postern/audit"
	"postern/gateway"
	"postern/gateway/upgrade"
)

// upgrading has a new process take over from this one when somebody asks: its binary as
// it is now, with the same arguments.
type upgrading struct {
	// binary is what is started, and signals ask for it, as questions do.
	binary    string
	signals   chan os.Signal
	questions chan chan<- upgraded
	// from is the gateway that this one is to take over from; nil without one.
	from *upgrade.Predecessor
	// older are those that it took over from, and that may go on; mu guards them.
	mu    sync.Mutex
	older []*upgrade.Predecessor
	// vacancy is closed when another gateway is in the place of one that was
	// killed; nil where none was. mu guards it.
	vacancy chan struct{}
	// sockets are those of this gateway, which the next one gets; nil once there will
	// be none. mu guards them.
	sockets []upgrade.Socket
	// next is the one that took over. It sees by the socket to it that this process
	// has ended, and nothing must close that before.
	next   *upgrade.Successor
	server *gateway.Server
	trail  *audit.Trail
	duties *duties
	leave  *leaving
	// reloader goes by the files for the sessions that go on here.
	reloader *reloader
	// over says that another gateway has taken over.
	over atomic.Bool
}

// newUpgrading catches SIGUSR2 from now on, and finds out whether this process is to take
// over from a gateway. No child learns of that.
func newUpgrading() (*upgrading, error) {
	u := &upgrading{binary: ownBinary(), signals: make(chan os.Signal, 1), questions: make(chan chan<- upgraded)}
	signal.Notify(u.signals, syscall.SIGUSR2)
	called := os.Getenv(upgrade.Variable)
	if err := os.Unsetenv(upgrade.Variable); err != nil {
		return nil, err
	}
	var err error
	u.from, err = upgrade.Called(called)
	return u, err
}

// ownBinary is the path by which this process was started, so that another binary in
// its place, or behind a link, is the one for the next; or where its binary is, if
// whoever started it gave it another name.
func ownBinary() string {
	named := os.Args[0]
	if !strings.Contains(named, "/") {
		named, _ = exec.LookPath(named)
	}
	named, err1 := filepath.Abs(named)
	there, err2 := os.Stat(named)
	self, err3 := os.Stat(ownImage)
	if errors.Join(err1, err2, err3) == nil && os.SameFile(there, self) {
		return named
	}
	path, err := os.Executable()
	if err != nil {
		return ownImage
	}
	return path
}

// ownImage is the binary that this process runs, also when the file is gone.
const ownImage = "/proc/self/exe"

// run waits until somebody asks, and has another gateway take over, until the context is
// done.
func (u *upgrading) run(ctx context.Context) {
	defer u.drop()
	for {
		answer := make(chan<- upgraded, 1)
		select {
		case <-u.signals:
		case answer = <-u.questions:
		case <-ctx.Done():
			return
		}
		if s := u.handOver(ctx, answer); s != nil {
			u.stayBehind(ctx, s)
			return
		}
	}
}

// ask has another gateway take over, unless one has.
func (u *upgrading) ask(ctx context.Context) (upgraded, error) {
	if u.over.Load() {
		return upgraded{PID: os.Getpid(), Outcome: outcomeOver}, nil
	}
	outcome := make(chan upgraded, 1)
	select {
	case u.questions <- outcome:
	case <-ctx.Done():
		return upgraded{}, errors.New("another upgrade is under way, or the gateway ends")
	}
	// It is answered before this gateway steps aside, and in time.
	return <-outcome, nil
}

// handOver has another gateway take over, and says so. Where that fails this one goes on
// as if nothing had happened.
func (u *upgrading) handOver(ctx context.Context, answer chan<- upgraded) *upgrade.Successor {
	s, err := u.start(ctx)
	if err != nil {
		_ = u.trail.UpgradeFailed(err.Error()) // a gateway that cannot record it goes on all the same
		answer <- upgraded{PID: os.Getpid(), Outcome: outcomeFailed, Why: err.Error()}
		return nil
	}
	u.over.Store(true)
	u.next = s
	running := len(u.server.Sessions())
	_ = u.trail.GatewayUpgraded(running) // likewise
	tell(fmt.Sprintf("MAINPID=%d", s.PID()))
	answer <- upgraded{PID: os.Getpid(), Outcome: outcomeUpgraded, Successor: s.PID(), Sessions: running}
	u.server.StepAside()
	u.reloader.hush()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.older {
		p.Pass()
	}
	u.older = nil
	return s
}

// errStops is why a gateway has no successor.
var errStops = errors.New("this gateway stops")

// start starts another gateway and returns once it serves.
func (u *upgrading) start(ctx context.Context) (*upgrade.Successor, error) {
	if _, is := u.server.Retiring(); is {
		return nil, errStops
	}
	if os.Getpid() == 1 {
		return nil, errors.New("this gateway is the first process of its container, which ends with it; start a container of the new image instead")
	}
	s, err := upgrade.Start(u.binary, os.Args, os.Environ())
	if err != nil {
		return nil, err
	}
	if err := u.bequeath(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}
