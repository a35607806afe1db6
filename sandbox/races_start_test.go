package sandbox_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"postern/sandbox"
)

// Somebody swaps the rule's path, or what it lies in, while a child is being
// started. Each child works in the folder that was opened, or does not start.
func TestRaceWithAStart(t *testing.T) {
	for _, l := range levels {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			testRaceWithAStart(t, l)
		})
	}
}

func testRaceWithAStart(t *testing.T, l sandbox.Level) {
	base := publicDir(t)
	s := starters()[0]
	a := newArena(t, filepath.Join(base, "race"), s)
	a.settle(t, nil)
	rule, inParent := filepath.Join(a.server, "rule"), filepath.Join(a.server, "parent", "dst")
	f := flip(t, s.child, filepath.Join(a.dir, "spare"), a.outside, rule, filepath.Dir(inParent))
	defer f.end()
	before := fingerprint(t, a.outside)
	started, refused, won := 0, 0, 0
	shown := func() bool { return started > 0 && (l != none || won > 0) }
	for began := time.Now(); time.Since(began) < *raceTime || !shown() && time.Since(began) < 20*time.Second; {
		for i, path := range []string{rule, inParent, rule, inParent} {
			output, err := startBetween(t, l, path, i < 2)
			if err != nil {
				refused++
				continue
			}
			started++
			h := done(before, fingerprint(t, a.outside), l) | told(output)
			if h&^mayWin[l] != 0 {
				t.Errorf("a child in %s: %s", path, h)
			}
			if h != 0 {
				won++
				before = a.restore(t, s)
			}
		}
	}
	t.Logf("%d children started, %d refused, %d worked outside, %d swaps", started, refused, won, f.flips.Load())
	if started == 0 {
		t.Error("no child ever started, so that none was put to the test")
	}
}

// startBetween starts a child that reads, writes and lists in a path. It may get
// the folder that was opened a moment before.
func startBetween(t *testing.T, l sandbox.Level, path string, opened bool) (output string, err error) {
	o := at(t, shell(t, `cd "$1" && { echo x > new; read x < secret && echo "$x"; echo *; }`, path), l)
	o.User, o.Paths = asNobody(), []sandbox.Path{{Path: path, Writable: true}}
	if opened {
		if o.Paths[0].Folder, err = sandbox.OpenPath(path); err != nil {
			return "", err
		}
		defer o.Paths[0].Folder.Close()
	}
	p, err := sandbox.Start(self, o)
	if err != nil {
		return "", err
	}
	out, err := io.ReadAll(p.Stdout)
	p.Wait()
	return string(out), err
}

// What these races do to the wrapper that comes with rsync, which checks paths
// and pins what it can, is what they are measured by.
func TestRaceWithRrsync(t *testing.T) {
	rrsync, err := exec.LookPath("rrsync")
	if err != nil {
		t.Skip("needs rrsync")
	}
	t.Parallel()
	s := starters()[0]
	s.gateway = s.child
	base := publicDir(t)
	a := newArena(t, filepath.Join(base, "race"), s)
	a.prepareRaces(t, s)
	shell := filepath.Join(a.dir, "shell")
	script := fmt.Sprintf("#!/bin/sh\nshift\nSSH_ORIGINAL_COMMAND=\"$*\" exec %s %s\n", rrsync, a.server)
	if err := os.WriteFile(shell, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	kinds := []raceKind{
		{"destination", []string{"-a"}, false, "dst/", "dst"},
		{"parent of the destination", []string{"-a"}, false, "parent/dst/", "parent"},
		{"source", []string{"-a"}, true, "source/", "source"},
		{"--backup-dir", []string{"-abI", "--backup-dir=backups"}, false, "backed/", "backups"},
		{"--temp-dir", []string{"-aI", "--temp-dir=temp"}, false, "temporary/", "temp"},
	}
	var places []string
	for _, kind := range kinds {
		places = append(places, filepath.Join(a.server, kind.flips))
	}
	f := flip(t, s.child, filepath.Join(a.dir, "spare"), a.outside, places...)
	defer f.end()
	before := fingerprint(t, a.outside)
	began := time.Now()
	for i := 0; time.Since(began) < max(*raceTime, 5*time.Second); i++ {
		kind := kinds[i%len(kinds)]
		h := a.race(t, s, kind, shell, none, before)
		if h&(reads|writes) != 0 {
			t.Logf("%s: rrsync %s after %s and %d transfers", kind.name, h, time.Since(began).Round(time.Millisecond), i+1)
			return
		}
	}
	t.Logf("no race with rrsync was won in %s and %d swaps", time.Since(began).Round(time.Millisecond), f.flips.Load())
}
