package configs

import (
	"os"
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
