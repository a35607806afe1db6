package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// flips is how long the races of one level go on.
var flips = flag.Duration("flips", 2*time.Second, "how long folders are exchanged for links while transfers run")

// TestFlipped exchanges a folder of the rule for a link to a neighbour, again and
// again, while its client pushes into it and pulls out of it (threats E1 and E2):
// what a decision saw is not there any more when rsync comes, and no argument shows
// it.
func TestFlipped(t *testing.T) {
	if onlyBaseline() {
		return
	}
	for _, version := range []string{newRsync, oldRsync} {
		for _, m := range append(chosenManners(), atFull) {
			if m.level == none {
				continue // nothing holds it there, and the threat model says so
			}
			t.Run(version+"-"+m.String(), func(t *testing.T) {
				t.Parallel()
				w, p := attackWorld(t, m, version)
				r := newRace(t, w)
				allowed := r.until(t, "ssh", time.Now().Add(*flips), func() bool { return false })
				if err := r.harm(); err != nil {
					t.Errorf("a race was lost: %v", err)
				}
				if _, err := p.log.await(0, func(line string) bool { return strings.Contains(line, `"verdict":"allow"`) }); err != nil || allowed == 0 {
					t.Errorf("none of the transfers was in the race: %v", err)
				}
			})
		}
		t.Run(version+"-bare", func(t *testing.T) {
			t.Parallel()
			w, _ := attackWorld(t, atFull, version)
			r := newRace(t, w)
			r.until(t, w.path("bare"), time.Now().Add(patience), func() bool { return r.harm() != nil })
			if r.harm() == nil {
				t.Errorf("in %s no race was lost where nothing holds rsync", patience)
			}
		})
	}
}

// race is a world with a folder that flips.
type race struct {
	w      *world
	before mark
	names  map[string]string
}

func newRace(t *testing.T, w *world) *race {
	t.Helper()
	for i := range 50 {
		if err := write(w.path(fmt.Sprintf("src/d/%02d", i)), []byte("planted"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(w.path("got"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := w.own("src"); err != nil {
		t.Fatal(err)
	}
	r := &race{w: w, before: attack{}.beside(t, w), names: contents(w.path("nas/k2"))}
	return r
}

// contents are the files below a folder.
func contents(folder string) map[string]string {
	found := map[string]string{}
	filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		content, _ := os.ReadFile(path)
		found[path] = string(content)
		return err
	})
	return found
}

// harm tells what was reached. Landlock alone does not hold modes and times.
func (r *race) harm() error {
	if now := contents(r.w.path("nas/k2")); !reflect.DeepEqual(now, r.names) {
		return fmt.Errorf("the neighbour had %q and has %q", r.names, now)
	}
	before := r.before
	if r.w.level == landlock {
		before = mark{}
	}
	return attack{}.harm(r.w, before, "")
}

// until runs transfers while the folder flips, and tells how many ended well or
// with files missing, so that rsync had run.
func (r *race) until(t *testing.T, shell string, end time.Time, enough func() bool) (ran int) {
	t.Helper()
	stop := make(chan struct{})
	var flipping sync.WaitGroup
	flipping.Go(func() { r.flip(stop) })
	defer flipping.Wait()
	defer close(stop)
	transfers := [][]string{{"-a", "SRC/", "k1:"}, {"-a", "--delete", "SRC/d/", "k1:d/"}, {"-a", "k1:d/", "got/"}, {"-aI", "--inplace", "SRC/", "k1:"}}
	for i := 0; time.Now().Before(end) && !enough(); i++ {
		_, status := attack{args: transfers[i%len(transfers)]}.rsync(t, r.w, shell)
		if status == 0 || status == 23 || status == 24 {
			ran++
		}
	}
	return ran
}

// flip makes nas/k1/d a folder, nothing, and a link to the neighbour, in turn.
func (r *race) flip(stop chan struct{}) {
	at, uid := r.w.path("nas/k1/d"), r.w.children()
	for {
		select {
		case <-stop:
			return
		default:
		}
		// Any of these may find that rsync was faster.
		os.RemoveAll(at)
		os.Symlink("../k2", at)
		os.Lchown(at, uid, uid)
		os.Remove(at)
		os.Mkdir(at, 0o755)
		os.Lchown(at, uid, uid)
	}
}
