package usage

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postern/policy"
)

// Figure is the outcome of one count.
type Figure struct {
	policy.Usage
	// Err is why the folder could not be counted.
	Err error
	// Cost is how long the count took, and Ended when it ended.
	Cost  time.Duration
	Ended time.Time
	// Left is what its file system had left when the count began.
	Left Left
}

// Left is what a file system has left: bytes for users, and inodes, which are zero
// where it knows no limit of them.
type Left struct{ Bytes, Inodes int64 }

// LeftAt asks the file system of a folder, which costs next to nothing.
func LeftAt(folder string) (Left, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return Left{}, fmt.Errorf("ask for the free space of %s: %w", folder, err)
	}
	return Left{Bytes: int64(stat.Bavail) * stat.Bsize, Inodes: int64(stat.Ffree)}, nil
}

// Meter counts folders for whoever asks, each by one count at a time that all who
// wait for it share. It keeps the last figure of each folder that was ever asked for;
// those are folders of rules, and few.
type Meter struct {
	open func(path string) (*os.File, error)
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	folders map[string]*folder
}

// folder is what the meter knows of one.
type folder struct {
	// begun and ended number the counts, from 1; until wanted they go on.
	begun, ended, wanted int
	last                 Figure
	// changed is closed, and made anew, at the end of a count.
	changed chan struct{}
}

// NewMeter returns a meter that opens folders that way.
func NewMeter(open func(path string) (*os.File, error)) *Meter {
	ctx, stop := context.WithCancel(context.Background())
	return &Meter{open: open, ctx: ctx, stop: stop, folders: map[string]*folder{}}
}

// Close ends the counts that go on, and waits for that.
func (m *Meter) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.work.Wait()
}

// Last returns the last figure of a folder, if there is one.
func (m *Meter) Last(path string) (Figure, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.folders[path]
	if f == nil || f.ended == 0 {
		return Figure{}, false
	}
	return f.last, true
}

// Count returns the figure of a count that begins now or later. With the context done
// it waits no longer, and its error is the context's; the count goes on to its end all
// the same, so that the next who asks knows more.
func (m *Meter) Count(ctx context.Context, path string) (Figure, error) {
	number, changed := m.want(path)
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return Figure{}, ctx.Err()
		case <-m.ctx.Done():
			return Figure{}, m.ctx.Err()
		}
		var figure Figure
		var done bool
		if figure, done, changed = m.at(path, number); done {
			return figure, nil
		}
	}
}

// Ask has a folder counted, unless that goes on already, and does not wait for it.
func (m *Meter) Ask(path string) {
	m.mu.Lock()
	f := m.folders[path]
	idle := f == nil || f.wanted == f.ended
	m.mu.Unlock()
	if idle {
		m.want(path)
	}
}

// want asks for a count that has not begun yet.
func (m *Meter) want(path string) (number int, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.folders[path]
	if f == nil {
		f = &folder{changed: make(chan struct{})}
		m.folders[path] = f
	}
	idle := f.wanted == f.ended
	f.wanted = f.begun + 1
	if idle && !m.closed {
		m.work.Go(func() { m.counts(path, f) })
	}
	return f.wanted, f.changed
}

// at returns the last figure, and whether it is of that count or a later one.
func (m *Meter) at(path string, number int) (_ Figure, done bool, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.folders[path]
	return f.last, f.ended >= number, f.changed
}

// counts counts a folder until nobody wants more.
func (m *Meter) counts(path string, f *folder) {
	for m.begin(f) {
		figure := m.count(path)
		m.mu.Lock()
		f.ended, f.last = f.begun, figure
		close(f.changed)
		f.changed = make(chan struct{})
		m.mu.Unlock()
	}
}

// begin reports whether one more count is wanted, which has begun then.
func (m *Meter) begin(f *folder) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.wanted == f.ended || m.ctx.Err() != nil {
		return false
	}
	f.begun++
	return true
}

func (m *Meter) count(path string) Figure {
	begun := time.Now()
	usage, left, err := m.look(path)
	now := time.Now()
	return Figure{Usage: usage, Err: err, Cost: now.Sub(begun), Ended: now, Left: left}
}

func (m *Meter) look(path string) (policy.Usage, Left, error) {
	// Before the count: what others take during it may not be in it.
	left, err := LeftAt(path)
	if err != nil {
		return policy.Usage{}, Left{}, err
	}
	opened, err := m.open(path)
	if err != nil {
		return policy.Usage{}, Left{}, err
	}
	defer opened.Close()
	usage, err := Count(m.ctx, opened)
	return usage, left, err
}
