package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"postern/audit"
	"postern/gateway"
	"postern/gateway/upgrade"
	"postern/internal/listening"
)

const (
	// upgradePatience is how long a new gateway may take for each of its two steps:
	// far longer than reading ten thousand files and opening a long trail does, and
	// both together less than a command waits.
	upgradePatience = 45 * time.Second
	// leastPause and mostPause are between attempts to put another gateway in the
	// place of one that was killed, doubled each time.
	leastPause = time.Second
	mostPause  = 5 * time.Second
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

// use keeps the sockets of this gateway for the next one.
func (u *upgrading) use(listeners []listening.Listener, asked []string) error {
	for i, l := range listeners {
		f, err := l.File()
		if err != nil {
			return fmt.Errorf("keep the socket %s for an upgrade: %w", l.Name, err)
		}
		u.sockets = append(u.sockets, upgrade.Socket{Asked: asked[i], Name: l.Name, File: f})
	}
	return nil
}

// drop closes the sockets: nobody will get them from this gateway.
func (u *upgrading) drop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.sockets {
		s.File.Close()
	}
	u.sockets = nil
}

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

// bequeath leaves everything to a process that was started, or ends it.
func (u *upgrading) bequeath(ctx context.Context, s *upgrade.Successor) error {
	late := fmt.Errorf("it took longer than %s", upgradePatience)
	first, cancel := context.WithTimeoutCause(ctx, upgradePatience, late)
	defer cancel()
	if err := s.Prepared(first); err != nil {
		s.Abandon()
		return err
	}
	u.duties.rest()
	second, cancel := context.WithTimeoutCause(ctx, upgradePatience, late)
	defer cancel()
	err := u.leaveTo(second, s)
	if err == nil {
		if _, is := u.server.Retiring(); is {
			err = errStops
		}
	}
	if err != nil {
		s.Abandon()
		if !u.over.Load() {
			u.duties.resume()
		}
	}
	return err
}

// leaveTo leaves what this gateway has to another one.
func (u *upgrading) leaveTo(ctx context.Context, s *upgrade.Successor) error {
	offer, err := u.trail.Offer()
	if err != nil {
		return err
	}
	defer offer.Close()
	e, err := u.estate()
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range e.Older {
			f.Close()
		}
	}()
	e.Trail = offer.Files()
	return s.Bequeath(ctx, e)
}

// estate is what this gateway has but for its trail. The caller closes the files of the
// older gateways.
func (u *upgrading) estate() (*upgrade.Estate, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sockets == nil {
		return nil, errStops
	}
	e := &upgrade.Estate{Sockets: u.sockets}
	for _, p := range u.older {
		f, err := p.File()
		if err != nil {
			for _, f := range e.Older {
				f.Close()
			}
			return nil, err
		}
		e.Older = append(e.Older, f)
	}
	return e, nil
}

// stayBehind does what the newer gateway says while sessions go on here, and puts another
// one in its place where it was killed: of the binary as it is then, since one that is no
// good may have been replaced.
func (u *upgrading) stayBehind(ctx context.Context, s *upgrade.Successor) {
	for pause := time.Duration(0); s != nil; pause = max(leastPause, min(2*pause, mostPause)) {
		u.follow(ctx, s)
		s = u.replace(ctx, pause)
	}
}

// replace starts another gateway in the place of one that is gone and was not to end. It
// tries until that serves.
func (u *upgrading) replace(ctx context.Context, pause time.Duration) *upgrade.Successor {
	if !u.isDeserted(ctx) {
		return nil
	}
	filled := make(chan struct{})
	defer close(filled)
	u.mu.Lock()
	u.vacancy = filled
	u.mu.Unlock()
	for ; u.isDeserted(ctx); pause = max(leastPause, min(2*pause, mostPause)) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		if s := u.handOver(ctx, make(chan<- upgraded, 1)); s != nil {
			return s
		}
	}
	return nil
}

// awaitReplacement waits until somebody serves who comes: a gateway whose last session has
// ended must not end while nobody does.
func (u *upgrading) awaitReplacement() {
	u.mu.Lock()
	vacancy := u.vacancy
	u.mu.Unlock()
	if vacancy != nil {
		<-vacancy
	}
}

// isDeserted reports whether nobody serves who comes: the newer gateway is gone, and was
// not to end.
func (u *upgrading) isDeserted(ctx context.Context) bool {
	_, retires := u.server.Retiring()
	u.mu.Lock()
	defer u.mu.Unlock()
	return ctx.Err() == nil && !retires && u.sockets != nil
}

// follow follows the orders of the newer gateway, until there is none any more.
func (u *upgrading) follow(ctx context.Context, s *upgrade.Successor) {
	defer context.AfterFunc(ctx, s.Interrupt)()
	for {
		switch s.Next() {
		case upgrade.Stop:
			u.drop()
			u.leave.passOn()
		case upgrade.Passed:
			u.drop()
		case upgrade.Gone:
			if ctx.Err() == nil {
				s.Close()
			}
			return
		}
	}
}

// stop has the gateways end that this one took over from, and nobody take over from this
// one, whose sockets would stay open otherwise while it drains.
func (u *upgrading) stop() {
	u.drop()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.older {
		p.Stop()
	}
}

// awaitOlder waits until they have ended, so that whoever ended this one has ended all,
// or for a time.
func (u *upgrading) awaitOlder(most time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	u.mu.Lock()
	older := slices.Clone(u.older)
	u.mu.Unlock()
	for _, p := range older {
		select {
		case <-p.Gone():
		case <-ctx.Done():
		}
	}
}
