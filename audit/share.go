package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Several gateways write one trail while a new one takes over from others, whose
// sessions go on. They take turns: whose turn it is reads what the others wrote since,
// and goes on from there. Any of them may be killed at any time.

// lookPause is how often a gateway that shares the trail looks what the others do.
const lookPause = 200 * time.Millisecond

// shared is how a trail is shared. The trail's lock guards it.
type shared struct {
	turn *turn
	// files is the count of files that the store is up to date with.
	files uint64
	// offers is how many gateways may be on their way in.
	offers int
}

// looking is the goroutine that looks what other gateways do.
type looking struct {
	stop chan struct{}
	done sync.WaitGroup
}

// Offer lets another process write the trail, too.
type Offer struct {
	trail *Trail
	end   sync.Once
}

// Offer has this trail be shared from now on with whoever opens it with the files of
// the offer, as long as there is somebody. The caller closes the offer once that one
// has opened the trail, or never will.
func (t *Trail) Offer() (*Offer, error) {
	// What is tidied without the lock of those who share is done.
	t.keeper.working.Lock()
	defer t.keeper.working.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared == nil {
		if err := t.share(); err != nil {
			return nil, fmt.Errorf("share the trail: %w", err)
		}
	}
	t.shared.offers++
	return &Offer{trail: t}, nil
}

// Files are what the other process must inherit, for [Options.Offered]: the lock of
// the trail and the file of turns.
func (o *Offer) Files() []*os.File {
	o.trail.mu.Lock()
	defer o.trail.mu.Unlock()
	return []*os.File{o.trail.keeper.lock, o.trail.shared.turn.file}
}

// Close ends the offer.
func (o *Offer) Close() {
	o.end.Do(func() {
		o.trail.mu.Lock()
		defer o.trail.mu.Unlock()
		if s := o.trail.shared; s != nil {
			s.offers--
		}
	})
}

// share begins to share. Whatever the file of turns said is of gateways that are gone:
// this one has the trail to itself. The caller holds the trail's lock.
func (t *Trail) share() error {
	f, err := os.OpenFile(filepath.Join(t.keeper.dir, turnName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	turn := &turn{file: f}
	if err := turn.enter(t.began); err != nil {
		return errors.Join(err, f.Close())
	}
	t.shared = &shared{turn: turn}
	t.startLooking()
	return nil
}

// join takes this gateway's first turn, with the files of an offer.
func (t *Trail) join(offered []*os.File) error {
	// Not the same open file, or its locks would be those of the other gateway;
	// nor the file of that name, which may be another by now.
	f, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(offered[1].Fd())), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	turn := &turn{file: f}
	if err := turn.take(); err != nil {
		return errors.Join(err, f.Close())
	}
	t.shared = &shared{turn: turn, files: turn.sheet.files}
	if err := errors.Join(t.joinIn(), turn.pass()); err != nil {
		return errors.Join(err, f.Close())
	}
	t.startLooking()
	return offered[1].Close()
}

// joinIn begins behind what others wrote.
func (t *Trail) joinIn() error {
	files, err := listFiles(t.store.dir)
	if err != nil {
		return err
	}
	cut, err := t.store.resume(files, sharing)
	if err != nil {
		return err
	}
	return t.begin(cut)
}

// enter waits until this gateway may write, brings it up to what others wrote, and
// returns how to leave. The caller holds the trail's lock. Without others it costs
// nothing.
func (t *Trail) enter() (leave func(), err error) {
	s := t.shared
	if s == nil {
		return func() {}, nil
	}
	if err := s.turn.take(); err != nil {
		return nil, err
	}
	leave = func() { _ = s.turn.pass() } // it ends with the process at the latest
	if err := t.catchUp(); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// catchUp goes on from what others wrote, and cuts off a line that one who was killed
// left unfinished.
func (t *Trail) catchUp() error {
	s := t.shared
	before := t.store.last.number
	moved := s.files != s.turn.sheet.files
	var cut, more int64
	var err error
	if moved {
		cut, err = t.store.follow()
	}
	if err == nil {
		more, err = t.store.readOn()
	}
	if err != nil {
		return fmt.Errorf("go on behind another gateway: %w", err)
	}
	s.files = s.turn.sheet.files
	if t.store.last.number != before {
		t.grew()
	}
	if moved && t.store.size == 0 {
		err = t.checkpoint()
	}
	if moved && err == nil {
		err = t.tidy()
	}
	if cut += more; cut > 0 && err == nil {
		err = t.chain(repaired(cut))
	}
	return err
}

// announceFile tells those who share the trail that another file is about to begin.
func (t *Trail) announceFile() error {
	s := t.shared
	if s == nil {
		return nil
	}
	next := s.turn.sheet
	next.files++
	if err := s.turn.write(next); err != nil {
		return err
	}
	s.files = next.files
	return nil
}

// beside are the other gateways that write the trail, or did when they were killed.
func (t *Trail) beside() []uint64 {
	if t.shared == nil {
		return nil
	}
	return t.shared.turn.sheet.others(t.began)
}

// startLooking looks what other gateways do until there are none, or until the trail
// is closed.
func (t *Trail) startLooking() {
	stop := make(chan struct{})
	t.looking.stop = stop
	t.looking.done.Go(func() {
		ticker := time.NewTicker(lookPause)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			dead, over := t.look()
			if over {
				return
			}
			for _, gateway := range dead {
				_ = t.bury(gateway) // it is tried again
			}
		}
	})
}

// end ends that, and waits for it.
func (l *looking) end() {
	if l.stop != nil {
		close(l.stop)
		l.stop = nil
	}
	l.done.Wait()
}

// look takes in what other gateways wrote, and returns those of them that are dead, and
// whether there are no others any more.
func (t *Trail) look() (dead []uint64, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	leave, err := t.enter()
	if err != nil {
		return nil, false
	}
	s := t.shared
	over = s.offers == 0 && len(s.turn.sheet.others(t.began)) == 0
	if over {
		t.shared = nil
	} else {
		dead = s.turn.dead()
	}
	leave()
	if over {
		s.turn.file.Close()
	}
	return dead, over
}

// bury records the ends of the sessions of a gateway that was killed, and its own, unless
// another gateway does. Nothing is added to its records any more.
func (t *Trail) bury(gateway uint64) error {
	through := t.last()
	found, err := fateOf(t.keeper.dir, gateway, gateway)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	leave, err := t.enter()
	if err != nil {
		return err
	}
	defer leave()
	turn := t.shared.turn
	if !slices.Contains(turn.sheet.gateways, gateway) {
		return nil
	}
	if t.store.last.number != through {
		// Another one may have been at it, and have been killed.
		later, err := fateOf(t.keeper.dir, gateway, through+1)
		if err != nil {
			return err
		}
		found.goOn(later)
	}
	if found.began && !found.stopped {
		if err := t.recordLost(gateway, found.running()); err != nil {
			return err
		}
	}
	return turn.strike(gateway)
}

// recordLost records that a gateway was killed, in the middle of these sessions.
func (t *Trail) recordLost(gateway uint64, decisions [][]byte) error {
	for _, line := range decisions {
		if end, ok := lostEnd(line); ok {
			if _, err := t.keep(end); err != nil {
				return err
			}
		}
	}
	number, err := t.keep(t.stopped(zerolog.WarnLevel, gateway, func(e *zerolog.Event) {
		e.Bool("lost", true).Str("why", "it was killed")
	}))
	if err != nil {
		return err
	}
	return t.store.sync(number)
}

// takeFolder is the lock of a folder that another gateway offers.
func takeFolder(dir string, offered []*os.File) (*os.File, error) {
	if len(offered) != 2 {
		return nil, fmt.Errorf("%d files are no offer of a trail", len(offered))
	}
	here, err := os.Stat(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	there, err := offered[0].Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(here, there) {
		return nil, fmt.Errorf("%s is not the trail that the other gateway writes; to change state, end that one and start this one", dir)
	}
	return offered[0], nil
}
