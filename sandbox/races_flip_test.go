package sandbox_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// flipper puts a folder, a link to the outside and nothing in the places of
// folders that a transfer uses, by turns and at any moment.
type flipper struct {
	places []string
	// spare is a folder of the same file system where the next thing for a
	// place is made, and the last one is done away with.
	spare string
	// target is where the links lead.
	target string
	owner  sandbox.User

	flips atomic.Int64
	stop  chan struct{}
	ended chan struct{}
}

// flip starts to flip.
func flip(t *testing.T, owner sandbox.User, spare, target string, places ...string) *flipper {
	t.Helper()
	f := &flipper{places: places, spare: spare, target: target, owner: owner, stop: make(chan struct{}), ended: make(chan struct{})}
	if err := os.Mkdir(spare, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, place := range places {
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			t.Fatal(err)
		}
		chown(t, filepath.Dir(place), owner)
	}
	go f.run()
	return f
}

// end stops the flipping.
func (f *flipper) end() {
	close(f.stop)
	<-f.ended
}

func (f *flipper) run() {
	defer close(f.ended)
	for {
		for _, place := range f.places {
			select {
			case <-f.stop:
				return
			default:
			}
			f.put(place, rand.IntN(5))
			f.flips.Add(1)
		}
		// A transfer has many steps, of some microseconds to some
		// milliseconds: no pause fits all of them.
		if pause := rand.IntN(4); pause > 0 {
			time.Sleep(time.Duration(rand.IntN(500<<pause)) * time.Microsecond)
		}
	}
}

// put changes a place in one step. What fails has met a transfer that changed
// the place too, and is tried again soon.
func (f *flipper) put(place string, kind int) {
	next := filepath.Join(f.spare, "next")
	defer os.RemoveAll(next)
	switch kind {
	case 0:
		_ = unix.Rename(place, next)
		return
	case 1, 2:
		_ = os.Symlink(f.target, next)
	default:
		_ = errors.Join(os.MkdirAll(next+"/dst", 0o755), os.WriteFile(next+"/secret", []byte("OF-ONES-OWN"), 0o644),
			os.Lchown(next+"/dst", int(f.owner.UID), int(f.owner.GID)), os.Lchown(next+"/secret", int(f.owner.UID), int(f.owner.GID)))
	}
	_ = os.Lchown(next, int(f.owner.UID), int(f.owner.GID))
	if errors.Is(unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE), unix.ENOENT) {
		_ = unix.Rename(next, place)
	}
}
