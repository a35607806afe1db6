package configs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func (w *world) loads(l *Loader) *Config {
	w.t.Helper()
	c, err := l.Load()
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// What a loader says is what a load from nothing says, whatever it knows.
func TestLoaderAgreesWithLoad(t *testing.T) {
	w := newWorld(t)
	w.many(3)
	l := w.later()
	same := func(step string, clients int) {
		t.Helper()
		c := w.loads(l)
		if want := w.mustLoad(); c.Hash != want.Hash || len(c.Clients) != clients || c.Set().Len() != clients {
			t.Errorf("%s: %d clients, hash %s, want %s", step, len(c.Clients), c.Hash, want.Hash)
		}
		if l.Load(); l.last != c {
			t.Errorf("%s: loaded anew though nothing has changed", step)
		}
	}
	same("at first", 3)
	w.nth(1, true)
	same("one changed", 3)
	if !l.last.Clients[1].Disabled {
		t.Error("the change was not seen")
	}
	w.nth(3, false)
	same("one more", 4)
	if err := os.Remove(w.path("clients.d/" + nthName(0) + ".yaml")); err != nil {
		t.Fatal(err)
	}
	same("one less", 3)
	w.write("postern.yaml", "state: state\nconnection: {sessions: 3}\n")
	same("the gateway's own", 3)
	l.Forget()
	same("forgotten", 3)
}

// A fault is there until it is mended, and a client that clashes with one that is
// known is told with both places.
func TestLoaderFaults(t *testing.T) {
	w := newWorld(t)
	w.many(2)
	l := w.later()
	w.loads(l)
	for _, c := range []struct{ text, want string }{
		{"nonsense: 1\n", "nonsense"},
		{"nonsense: 1\n", "nonsense"},
		{"keys: [" + numberedKey(t, 1) + "]\n", "is in client"},
		{"keys: [" + numberedKey(t, 1) + "]\n", nthName(1) + ".yaml:2"},
	} {
		w.client("zebra", c.text)
		if _, err := l.Load(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	w.client("zebra", "keys: ["+numberedKey(t, 7)+"]\n")
	if c := w.loads(l); len(c.Clients) != 3 {
		t.Errorf("%d clients", len(c.Clients))
	}
	if err := os.Chmod(w.path("clients.d/zebra.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(); err == nil || !strings.Contains(err.Error(), "can be written by everyone") {
		t.Errorf("everybody may write it: %v", err)
	}
}

// A file that was written a moment ago is read again: its times need not tell.
func TestLoaderOfFreshFiles(t *testing.T) {
	w := newWorld(t)
	w.nth(0, false)
	l := newLoader(w.path("postern.yaml"), w.options())
	w.loads(l)
	path := w.path("clients.d/" + nthName(0) + ".yaml")
	known := l.known[path]
	if known.settled {
		t.Fatal("a new file counts as settled")
	}
	w.nth(0, true)
	now, _ := stampOf(path)
	known.stamp = now
	l.known[path] = known // as if the times had not moved
	if c := w.loads(l); !c.Clients[0].Disabled {
		t.Error("the change was not seen")
	}
	if now.settledAt(time.Now()) || !now.settledAt(time.Now().Add(time.Hour)) {
		t.Error("a file is settled by its age")
	}
}

// What the gateway runs with until its next start no rule may reach, whatever the
// file says by now.
func TestLoaderProtectsWhatRuns(t *testing.T) {
	w := newWorld(t)
	l := w.later()
	first := w.loads(l)
	if err := os.Mkdir(w.path("other"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("postern.yaml", "state: other\nlisten: [\":1\"]\n")
	if keys := first.NextStart(w.loads(l)); !slices.Equal(keys, []string{"listen", "state"}) {
		t.Errorf("for the next start: %q", keys)
	}
	w.client("laptop", "principals: [a]\nallow: [{rsync: "+w.path("state")+"}]\n")
	if _, err := l.Load(); err == nil || !strings.Contains(err.Error(), "the gateway's state") {
		t.Errorf("a rule for the state that is in use: %v", err)
	}
}

// A loader that is told which files have changed comes to what one that looks at all
// of them comes to, whatever happened, and also once it was not told of something.
func TestLoaderThatIsTold(t *testing.T) {
	w := newWorld(t)
	w.many(20)
	l := w.later()
	w.loads(l)
	chance := rand.New(rand.NewPCG(1, 2))
	file := func() string { return w.path("clients.d/" + nthName(chance.IntN(24)) + ".yaml") }
	for step := range 300 {
		path := file()
		told := []string{path}
		switch chance.IntN(8) {
		case 0:
			os.Remove(path)
		case 1:
			to := file()
			os.Rename(path, to)
			told = append(told, to)
		case 2:
			w.write("clients.d/"+filepath.Base(path), "nonsense: 1\n")
		case 3:
			os.Rename(path, path+"~")
			told = append(told, path+"~")
		case 4:
			os.Rename(path, strings.TrimSuffix(path, ".yaml")+".yml")
			told = append(told, strings.TrimSuffix(path, ".yaml")+".yml")
		case 5:
			w.write("clients.d/"+filepath.Base(path), "keys: ["+numberedKey(t, chance.IntN(24))+"]\n")
		default:
			w.nth(chance.IntN(24), chance.IntN(2) == 0)
			told = nil // the next step is told of all that it was not told of
		}
		if told == nil {
			for n := range 24 {
				told = append(told, w.path("clients.d/"+nthName(n)+".yaml"))
			}
		}
		got, err := l.LoadChanged(told)
		want, wantErr := w.later().Load()
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || (err == nil) != (wantErr == nil) {
			t.Fatalf("step %d: %v, want %v", step, err, wantErr)
		}
		if err == nil && (got.Hash != want.Hash || !reflect.DeepEqual(got.Clients, want.Clients) || got.Set().Len() != want.Set().Len()) {
			t.Fatalf("step %d: other clients than when all is read", step)
		}
		if err != nil { // tidy up, or all that follows is full of faults
			for _, path := range told {
				os.Remove(path)
			}
			os.Remove(path)
			l.Load()
		}
	}
	// What it is not told of it finds when it looks at all, and in another folder.
	w.loads(l)
	w.nth(3, false)
	w.nth(4, true)
	if c, err := l.LoadChanged([]string{w.path("clients.d/" + nthName(3) + ".yaml")}); err != nil || c.Clients[0].Name == "" {
		t.Fatal(err)
	}
	if got, want := w.loads(l), w.loads(w.later()); got.Hash != want.Hash {
		t.Error("a change that was not told stays unseen")
	}
	if err := os.Rename(w.path("clients.d"), w.path("before")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.path("clients.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.nth(50, false)
	c, err := l.LoadChanged([]string{w.path("clients.d/" + nthName(50) + ".yaml")})
	if err != nil || len(c.Clients) != 1 {
		t.Errorf("another folder in its place: %v, %v", c, err)
	}
}
