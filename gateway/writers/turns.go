package writers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// poll is how often locks of other processes are tried again: the kernel tells
	// nobody when one ends that was not waited for in a system call.
	poll = time.Second
	// maxWaiting is how many sessions of one client may wait at a time.
	maxWaiting = 20
)

// Session is somebody who wants to write.
type Session struct {
	// ID names the session to whoever reads about it, and Client whose it is.
	ID, Client string
	Claims     []Claim
	// Wait is how long it waits at most; zero is not at all.
	Wait time.Duration
	// Waits, which may be nil, is called once where it has to wait, with its folder
	// that another writes in.
	Waits func(folder string)
}

// Busy is why a session was not let in: the wait is over.
type Busy struct {
	// Folder is the one of the session's that another writes in.
	Folder string
	// By is the session that does, or waits to; empty where it is another process.
	By string
}

// Error is for the operator: a client has no business with others' sessions.
func (b *Busy) Error() string {
	if b.By == "" {
		return fmt.Sprintf("another process has locked %s, or a folder above it or below it", b.Folder)
	}
	return fmt.Sprintf("session %s writes in %s, or waits to, or above it or below it", b.By, b.Folder)
}

// ErrCrowded is why a session may not even wait.
var ErrCrowded = errors.New("too many sessions of the client wait already")

// Turns gives the sessions of one gateway their turns.
type Turns struct {
	open func(path string) (*os.File, error)

	mu sync.Mutex
	// all are who writes and who waits, in the order in which they came.
	all []*turn
	// changed is closed, and made anew, when one of them has left.
	changed chan struct{}
}

// turn is one session's.
type turn struct {
	Session
	writing bool
}

// New returns turns whose locks are on folders that are opened that way, to be read.
func New(open func(path string) (*os.File, error)) *Turns {
	return &Turns{open: open, changed: make(chan struct{})}
}

// Enter waits for the session's turn, until its wait is over or the context is done;
// leave must be called once it writes no more. sole are the folders of all rules that
// let one session write at a time.
//
// The error is the context's, a [*Busy], [ErrCrowded], or why a folder cannot be
// locked for one session alone.
func (t *Turns) Enter(ctx context.Context, s Session, sole []string) (leave func(), err error) {
	mine := &turn{Session: s}
	locks := locksOf(s.Claims, sole)
	t.join(mine)
	limit := time.NewTimer(s.Wait)
	defer limit.Stop()
	for waits := false; ; waits = true {
		locked, busy, changed, err := t.try(mine, locks, waits)
		switch {
		case err != nil:
			t.leave(mine)
			return nil, err
		case busy == nil:
			return sync.OnceFunc(func() { locked.release(); t.leave(mine) }), nil
		case !waits && s.Wait > 0 && s.Waits != nil:
			s.Waits(busy.Folder)
		}
		if err := again(ctx, changed, limit.C, busy); err != nil {
			t.leave(mine)
			return nil, err
		}
	}
}

// again returns when it is time to try again, or why it never is.
func again(ctx context.Context, changed <-chan struct{}, over <-chan time.Time, busy *Busy) error {
	next := time.NewTimer(poll)
	defer next.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-over:
		return busy
	case <-changed:
	case <-next.C:
	}
	return nil
}

func (t *Turns) join(mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, mine)
}

func (t *Turns) leave(mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = slices.DeleteFunc(t.all, func(other *turn) bool { return other == mine })
	close(t.changed)
	t.changed = make(chan struct{})
}

// try takes the turn if it has come; else busy says why not, and changed when that may
// be different.
func (t *Turns) try(mine *turn, locks []lock, waits bool) (_ held, busy *Busy, changed <-chan struct{}, err error) {
	busy, changed, err = t.ask(mine, waits)
	if busy != nil || err != nil {
		return nil, busy, changed, err
	}
	// Whoever came later and meets this one finds it in the list, so that nobody has to
	// be kept out meanwhile: a folder on a share that hangs takes its time.
	locked, err := take(t.open, locks)
	var at *fs.PathError
	if errors.Is(err, errLocked) && errors.As(err, &at) {
		return nil, &Busy{Folder: mine.folderAt(at.Path)}, changed, nil
	}
	if err == nil {
		t.mu.Lock()
		mine.writing = true
		t.mu.Unlock()
	}
	return locked, nil, changed, err
}

// ask returns who came before and stands in the way, if somebody does.
func (t *Turns) ask(mine *turn, waits bool) (_ *Busy, changed <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.all {
		if other == mine {
			break
		}
		if folder, ok := meets(mine.Claims, other.Claims); ok {
			return &Busy{Folder: folder, By: other.ID}, t.changed, t.crowded(mine, waits)
		}
	}
	return nil, t.changed, nil
}

// folderAt is the session's own folder that a locked one is, or overlaps: that of
// somebody else is nothing to tell its client.
func (t *turn) folderAt(locked string) string {
	for _, c := range t.Claims {
		if overlaps(c.Folder, locked) {
			return c.Folder
		}
	}
	return ""
}

// crowded refuses one that would begin to wait beside too many of its client's.
func (t *Turns) crowded(mine *turn, waits bool) error {
	waiting := 0
	for _, other := range t.all {
		if other.Client == mine.Client && !other.writing {
			waiting++
		}
	}
	if !waits && waiting > maxWaiting {
		return ErrCrowded
	}
	return nil
}
