package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// told is a record of the trail, as far as the account needs it.
type told struct {
	Time                                       time.Time
	Number                                     uint64
	Message, Session, Client, Verdict, Request string
	Args                                       []string
	Lost                                       bool
}

// account holds the records against what ran.
func (k *killed) account() {
	k.t.Helper()
	if err := k.p.idle(); err != nil {
		k.t.Fatal(err)
	}
	decided, ends := k.sessions(k.t)
	k.t.Logf("%d sessions: %v", len(decided), ends)
	if ends["seen"] == 0 || ends["lost"] == 0 {
		k.t.Error("the kills came all at the same moment of a session")
	}
	if k.level == none {
		k.witnessed(decided)
	}
	for folder, times := range k.stored {
		n := 0
		for _, r := range decided {
			if strings.HasSuffix(r.Request, " "+folder+"/") {
				n++
			}
		}
		if n < times {
			k.t.Errorf("%s was stored %d times at least, and that was decided %d times", folder, times, n)
		}
	}
}

// sessions returns the decisions that allowed something, and how many of them
// ended how. Each has one end, behind it.
func (w *world) sessions(t *testing.T) (decided []told, ends map[string]int) {
	t.Helper()
	out, err := w.postern("audit", "--event", "all", "--json", "-n", "10000000")
	if err != nil {
		t.Fatal(err)
	}
	var records []told
	if err := json.Unmarshal([]byte(out), &records); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(records)
	open := map[string]bool{}
	ends = map[string]int{}
	for _, r := range records {
		switch {
		case r.Message == "session decided" && r.Verdict == "allow":
			decided = append(decided, r)
			open[r.Session] = true
		case r.Message == "session ended":
			if !open[r.Session] {
				t.Errorf("an end of nothing, or the second one: %+v", r)
			}
			delete(open, r.Session)
			ends[map[bool]string{false: "seen", true: "lost"}[r.Lost]]++
		}
	}
	if len(open) > 0 {
		t.Errorf("these have no end: %v", open)
	}
	return decided, ends
}

// witnessed looks for the decision of each child that ran, which came before it.
func (k *killed) witnessed(decided []told) {
	text, err := os.ReadFile(k.path("outside/ran"))
	if err != nil {
		k.t.Fatal(err)
	}
	ran, decided := 0, slices.Clone(decided)
	for line := range strings.Lines(string(text)) {
		var child struct {
			Time float64
			Args []string
		}
		if err := json.Unmarshal([]byte(line), &child); err != nil {
			k.t.Fatalf("%q: %v", line, err)
		}
		ran++
		// Records have milliseconds.
		at := time.UnixMicro(int64(child.Time * 1e6))
		own := slices.IndexFunc(decided, func(r told) bool {
			return !r.Time.After(at) && slices.Equal(r.Args[len(r.Args)-1:], child.Args[len(child.Args)-1:])
		})
		if own < 0 {
			k.t.Errorf("this ran, and nothing was decided before: %s", line)
			continue
		}
		decided = slices.Delete(decided, own, own+1)
	}
	k.t.Logf("%d children ran", ran)
	if ran == 0 {
		k.t.Error("the witness saw nothing")
	}
}
