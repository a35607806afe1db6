package sandbox_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/sandbox"
)

// raceTime is short by default: minutes are for whoever has them.
var raceTime = flag.Duration("race-time", time.Second, "how long each race between transfers and a client that swaps folders runs")

// raceKind is a transfer that uses folders while they are swapped.
type raceKind struct {
	name string
	args []string
	pull bool
	// path is the server's, and flips what is swapped, below the rule's path.
	path, flips string
}

// raceKinds is the table of what is swapped. SERVER and CLIENT stand for
// folders.
var raceKinds = []raceKind{
	{"destination", []string{"-a"}, false, "dst/", "dst"},
	{"parent of the destination", []string{"-a"}, false, "parent/dst/", "parent"},
	{"folder in the destination", []string{"-a"}, false, "tree/", "tree/sub"},
	{"folder in the destination, with --delete", []string{"-a", "--delete"}, false, "deleting/", "deleting/sub"},
	{"folder in the destination, with --inplace", []string{"-aI", "--inplace"}, false, "inplace/", "inplace/sub"},
	{"folder in the destination, with -R", []string{"-aR", "CLIENT/source/./sub/new"}, false, "relative/", "relative/sub"},
	{"source", []string{"-a"}, true, "source/", "source"},
	{"source without a slash", []string{"-a"}, true, "whole", "whole"},
	{"parent of the source", []string{"-a"}, true, "above/dst/../secret", "above"},
	{"folder in the source", []string{"-a"}, true, "pulled/", "pulled/sub"},
	{"folder in the source, with --files-from", []string{"-a", "--files-from=CLIENT/names"}, true, "listed/", "listed/sub"},
	{"--backup-dir", []string{"-abI", "--backup-dir=SERVER/backups"}, false, "backed/", "backups"},
	{"--partial-dir", []string{"-aI", "--delay-updates", "--partial-dir=SERVER/partial"}, false, "delayed/", "partial"},
	{"--temp-dir", []string{"-aI", "--temp-dir=SERVER/temp"}, false, "temporary/", "temp"},
	{"--link-dest", []string{"-aI", "--link-dest=SERVER/links"}, false, "linked/", "links"},
	{"--copy-dest", []string{"-a", "--copy-dest=SERVER/copies"}, false, "copied/", "copies"},
}

// mayWin is what a race may gain at each level: what the same attack gains that
// needs none.
var mayWin = map[sandbox.Level]harm{none: reads | lists | looks | writes | changes, landlock: looks | changes}

// A client that swaps folders while it transfers, with two keys or two sessions
// of one, gains nothing. At level none it does.
func TestRaces(t *testing.T) {
	for _, program := range rsyncs(t) {
		for _, l := range levels {
			t.Run(version(t, program)+"/"+l.String(), func(t *testing.T) {
				t.Parallel()
				testRaces(t, program, l)
			})
		}
	}
}

// score is what became of the transfers of a kind.
type score struct {
	transfers int
	won       map[harm]int
	first     time.Duration
}

func testRaces(t *testing.T, program string, l sandbox.Level) {
	s := starters()[0]
	base := publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	copyFile(t, program, filepath.Join(base, "rsync"))
	o := s.order(t, base, l)
	a := newArena(t, filepath.Join(base, "race"), s)
	a.prepareRaces(t, s)
	o.Program, o.Dir, o.Env = filepath.Join(base, "rsync"), "/", []string{"HOME=/nonexistent"}
	o.Paths = []sandbox.Path{{Path: a.server, Writable: true}}
	shell := a.shell(t, s, o, [2]string{})

	var places []string
	for _, kind := range raceKinds {
		places = append(places, filepath.Join(a.server, kind.flips))
	}
	f := flip(t, s.child, filepath.Join(a.dir, "spare"), a.outside, places...)
	before := fingerprint(t, a.outside)
	scores := make([]score, len(raceKinds))
	began := time.Now()
	for i := 0; time.Since(began) < *raceTime || l == none && !someWon(scores) && time.Since(began) < 20*time.Second; i = (i + 1) % len(raceKinds) {
		kind := raceKinds[i]
		kind.path = "SERVER/" + kind.path
		h := a.race(t, s, kind, shell, l, before)
		scores[i].add(h, time.Since(began))
		if h&^mayWin[l] != 0 {
			t.Errorf("%s: %s", kind.name, h)
		}
		if h != 0 {
			before = a.restore(t, s)
		}
	}
	f.end()
	report(t, scores, f.flips.Load(), time.Since(began))
	if l == none && !someWon(scores) {
		t.Log("no race was won, so that this machine shows nothing of them")
	}
}

// prepareRaces makes what is pushed and pulled.
func (a *arena) prepareRaces(t *testing.T, s starter) {
	t.Helper()
	for path, text := range map[string]string{
		a.source + "/sub/new": "pushed\n", a.source + "/sub/secret": "OF-ONES-OWN", filepath.Dir(a.source) + "/names": "sub/secret\nsub/folder/inner\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	chown(t, filepath.Dir(a.source), s.gateway)
	if err := os.RemoveAll(a.server + "/planted"); err != nil {
		t.Fatal(err)
	}
	a.settle(t, []string{"secret"})
}

// race runs one transfer, and returns what it did or learnt.
func (a *arena) race(t *testing.T, s starter, kind raceKind, shell string, l sandbox.Level, before map[string]print) harm {
	t.Helper()
	for _, dir := range []string{a.back, filepath.Join(a.server, "linked"), filepath.Join(a.server, "copied"), filepath.Join(a.server, "backed")} {
		// What an earlier transfer left is neither news nor in the way.
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		chown(t, dir, s.child)
	}
	chown(t, a.back, s.gateway)
	if kind.name == "--backup-dir" {
		if err := os.WriteFile(a.server+"/backed/old", []byte("old\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	from, to := a.source+"/", "x:"+kind.path
	if kind.pull {
		from, to = to, a.back+"/"
	}
	output := a.client(t, s, append(append([]string{"--timeout=10", "-e", shell}, kind.args...), from, to))
	h := done(before, fingerprint(t, a.outside), l) | told(output)
	for _, dir := range []string{a.back, a.server + "/linked", a.server + "/copied"} {
		h |= a.found(t, dir)
	}
	return h
}

// found is what a folder, in which nothing is swapped any more, has of the
// outside.
func (a *arena) found(t *testing.T, dir string) harm {
	t.Helper()
	var h harm
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		h |= told(string(text)) | told(d.Name())
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return h
}

// restore makes the outside anew, after a race that was won.
func (a *arena) restore(t *testing.T, s starter) map[string]print {
	t.Helper()
	list, err := os.ReadDir(a.outside)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		if err := os.RemoveAll(filepath.Join(a.outside, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.makeOutside(); err != nil {
		t.Fatal(err)
	}
	chown(t, a.outside, s.child)
	a.settle(t, []string{"secret"})
	return fingerprint(t, a.outside)
}

func (s *score) add(h harm, after time.Duration) {
	s.transfers++
	if h == 0 {
		return
	}
	if s.won == nil {
		s.won, s.first = map[harm]int{}, after
	}
	s.won[h]++
}

func someWon(scores []score) bool {
	return slices.ContainsFunc(scores, func(s score) bool { return len(s.won) > 0 })
}

// report tells how often and how fast each race was won.
func report(t *testing.T, scores []score, flips int64, took time.Duration) {
	t.Helper()
	all := 0
	for i, s := range scores {
		all += s.transfers
		if len(s.won) > 0 {
			var counts []string
			for _, h := range slices.Sorted(maps.Keys(s.won)) {
				counts = append(counts, fmt.Sprint(s.won[h], " times ", h))
			}
			t.Logf("%s: %s of %d, first after %s", raceKinds[i].name, strings.Join(counts, ", "), s.transfers, s.first.Round(time.Millisecond))
		}
	}
	t.Logf("%d transfers and %d swaps in %s", all, flips, took.Round(time.Millisecond))
}
