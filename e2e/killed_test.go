package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// kills is how often the gateway of each level is killed.
var kills = flag.Int("kills", 8, "how often a gateway is killed at a random moment")

// TestKilled kills the gateway at random moments of its life, again and again,
// while stock clients are at work. No child outlives it, nobody could have changed
// the trail, and every child that ever ran is in it: decided before it started,
// and ended once, as seen or as lost.
func TestKilled(t *testing.T) {
	if onlyBaseline() {
		return
	}
	for _, level := range []string{full, none} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			k := newKilled(t, level, rand.New(rand.NewPCG(seed, 0)))
			for round := range *kills {
				k.round(round)
			}
			// All is as it was for the clients, too.
			for _, cmd := range k.clients(*kills) {
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%q: %v\n%s", cmd.Args, err, out)
				}
			}
			k.account()
		})
	}
}

// killed is a world whose gateway is killed.
type killed struct {
	*world
	t      *testing.T
	p      *postern
	random *rand.Rand
}

// witness is a program that writes down when it starts and with what, and then
// becomes the real one. Its file is on no path of a client's.
const witness = `#!/usr/bin/python3
import json, os, sys, time
if "--version" not in sys.argv:
    with open(%q, "a") as f:
        f.write(json.dumps({"time": time.time(), "args": sys.argv[1:]}) + "\n")
os.execv(%q, [%q] + sys.argv[1:])
`

// newKilled starts a gateway. A confined child cannot run anything but its program,
// so there is a witness only where none is confined; elsewhere what the children
// stored tells of them.
func newKilled(t *testing.T, level string, random *rand.Rand) *killed {
	t.Helper()
	w := newTestWorld(t, manner{level: level})
	w.binary = os.Getenv(envPlain)
	if level == none {
		borg := w.tools["borg"]
		for name, real := range map[string]string{"rsync": w.serverProgram(), "borg": borg} {
			script := fmt.Sprintf(witness, w.path("outside/ran"), real, name)
			if err := write(w.path("programs/"+name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		w.tools = maps.Clone(w.tools)
		w.program, w.tools["borg"] = w.path("programs/rsync"), w.path("programs/borg")
	}
	for name, size := range map[string]int{"src/small": 1000, "src/big": 1 << 20} {
		if err := write(w.path(name), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.addClient("laptop", "rsync:nas/data", "borg:nas/borg"); err != nil {
		t.Fatal(err)
	}
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	return &killed{w, t, w.server.(*postern), random}
}

// clients are those of one round, of which some take longer than others.
func (k *killed) clients(round int) []*exec.Cmd {
	var all []*exec.Cmd
	for _, line := range []string{
		"rsync -a src/small nas:ROUND-0/",
		"rsync -a --bwlimit=500k src/ nas:ROUND-1/",
		"rsync -a nas: back-ROUND/",
		"borg init -e none nas:" + k.path("nas/borg") + "/ROUND",
	} {
		words := strings.Fields(strings.ReplaceAll(line, "ROUND", fmt.Sprintf("round-%03d", round)))
		if path := k.path("bin/" + words[0]); words[0] == "rsync" {
			words[0] = path
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir, cmd.Env = k.work, append(os.Environ(), k.env()...)
		all = append(all, cmd)
	}
	return all
}

// round starts clients, kills the gateway, and has the next one take over.
func (k *killed) round(n int) {
	k.t.Helper()
	all := k.clients(n)
	for _, cmd := range all {
		if err := cmd.Start(); err != nil {
			k.t.Fatal(err)
		}
	}
	// The moment is what this is about; no condition could be waited for.
	<-time.After(time.Duration(k.random.IntN(1500)) * time.Millisecond)
	if err := k.p.cmd.Process.Kill(); err != nil {
		k.t.Fatal(err)
	}
	<-k.p.ended
	k.p.over = true
	for _, cmd := range all {
		cmd.Wait() // well or not, as far as they came
	}
	if err := until(func() (bool, string) {
		left := strays(k.work)
		return len(left) == 0, "these outlive the gateway:\n" + describe(left)
	}); err != nil {
		k.t.Fatal(err)
	}
	if err := k.p.serve(); err != nil {
		k.t.Fatal(err)
	}
	k.p.over = false
	if err := k.writeHosts(); err != nil {
		k.t.Fatal(err)
	}
	if out, err := k.postern("audit", "verify"); err != nil {
		k.t.Fatalf("after kill %d: %v\n%s", n, err, out)
	}
}

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
	out, err := k.postern("audit", "--event", "all", "--json", "-n", "1000000")
	if err != nil {
		k.t.Fatal(err)
	}
	var records []told
	if err := json.Unmarshal([]byte(out), &records); err != nil {
		k.t.Fatal(err)
	}
	slices.Reverse(records)
	decided, ends := k.sessions(records)
	k.t.Logf("%d sessions: %v", len(decided), ends)
	if ends["seen"] == 0 || ends["lost"] == 0 {
		k.t.Error("the kills came all at the same moment of a session")
	}
	if k.level == none {
		k.witnessed(decided)
	}
	stored, err := filepath.Glob(k.path("nas/data/round-*"))
	if err != nil || len(stored) == 0 {
		k.t.Errorf("nothing was stored: %v", err)
	}
	for _, path := range stored {
		name := filepath.Base(path)
		if !slices.ContainsFunc(decided, func(r told) bool { return strings.Contains(r.Request, name) }) {
			k.t.Errorf("%s was stored, and nothing decided", name)
		}
	}
}

// sessions returns the decisions that allowed something, and how many of them
// ended how. Each has one end, behind it.
func (k *killed) sessions(records []told) (decided []told, ends map[string]int) {
	open := map[string]bool{}
	ends = map[string]int{}
	for _, r := range records {
		switch {
		case r.Message == "session decided" && r.Verdict == "allow":
			decided = append(decided, r)
			open[r.Session] = true
		case r.Message == "session ended":
			if !open[r.Session] || r.Client != "laptop" {
				k.t.Errorf("an end of nothing, or the second one: %+v", r)
			}
			delete(open, r.Session)
			ends[map[bool]string{false: "seen", true: "lost"}[r.Lost]]++
		}
	}
	if len(open) > 0 {
		k.t.Errorf("these have no end: %v", open)
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
