package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// lived makes a trail of ten days until now: a client whose last session deletes a
// thousand files, from another address than before, and somebody who knocks.
func lived(t *testing.T) (dir string) {
	t.Helper()
	now := time.Now()
	at := now.AddDate(0, 0, -10)
	dir = filepath.Join(t.TempDir(), "audit")
	trail, err := audit.Open(audit.Options{Dir: dir, Prints: io.Discard, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 11 {
		c := audit.Connection{ID: fmt.Sprint("c", n), Address: "192.0.2.7:50000", Client: "laptop"}
		files := audit.FileCounts{Created: 3, Changed: 2}
		if n == 10 {
			c.Address, files = "[2001:db8::7]:50000", audit.FileCounts{Deleted: 1000}
		}
		err = errors.Join(err, trail.ConnectionAccepted(c),
			trail.SessionDecided(c, audit.Decision{Session: c.ID + ".1", Verdict: "allow", Tool: "rsync", Stores: true, Args: []string{"rsync"}}),
			trail.SessionEnded(c, audit.End{Session: c.ID + ".1", In: 2048, Files: &files}))
		at = at.AddDate(0, 0, 1)
	}
	at = now
	err = errors.Join(err, trail.ConnectionRefused(audit.Connection{Address: "198.51.100.1:1"}, "left"),
		trail.KeyRefused(audit.Connection{Address: "198.51.100.1:1"}, audit.KeyRefusal{Code: "unknown-key"}),
		trail.KeyRefused(audit.Connection{Address: "198.51.100.1:1"}, audit.KeyRefusal{Code: "unknown-key"}), trail.Close())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAuditSummary(t *testing.T) {
	dir := lived(t)
	r := runPostern(t, "audit", "summary", "--dir", dir, "--until", "2100-01-01")
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	today := time.Now().Format(time.DateOnly)
	want := []string{"TIME CLIENT WHAT STANDS OUT SESSION", "", "", "", "CLIENT DAY SESSIONS FROM IN OUT FILES"}
	if r.status != 0 || len(lines) != 17 || lines[0] != want[0] || lines[4] != want[4] {
		t.Fatalf("%+v", r)
	}
	for _, part := range []string{
		" laptop deleted 1000 files; 0 a day is usual c10.1",
		" laptop came from 2001:db8::/64; 192.0.2.7 is usual c10",
		"laptop " + today + " 1 1 new 2.0 KiB 0 B -1000",
		"laptop " + time.Now().AddDate(0, 0, -7).Format(time.DateOnly) + " 1 2.0 KiB 0 B +3 ~2",
		"refused before anybody was let in: attempts 3, sources 1",
		" 2 key refused: unknown-key, 1 connection refused",
	} {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, part) }) {
			t.Errorf("no line ends in %q:\n%s", part, r.stdout)
		}
	}
	for _, line := range strings.Split(r.stdout, "\n") {
		if len(line) > 120 {
			t.Errorf("too long for a terminal: %q", line)
		}
	}
	r = runPostern(t, "audit", "summary", "--dir", dir, "--json", "--client", "nobody")
	var none struct{ Standouts, Days []any }
	if err := json.Unmarshal([]byte(r.stdout), &none); err != nil || none.Days == nil || len(none.Days) != 0 || none.Standouts == nil {
		t.Errorf("%v, %+v", err, r)
	}
	if r := runPostern(t, "audit", "summary", "--dir", dir, "--since", "today", "--client", "nobody"); r.stdout != "nothing stands out\n\nno sessions\n" {
		t.Errorf("%+v", r)
	}
}

// TestStandoutInWords holds that each kind has words of its own.
func TestStandoutInWords(t *testing.T) {
	for kind, want := range map[string]string{
		audit.FilesDeleted: "deleted 9 files; 2 a day is usual", audit.FilesChanged: "changed 9 files; 2 a day is usual",
		audit.ObjectsDeleted: "asked borg to delete 9 objects; 2 a day is usual", audit.NewAddress: "came from 9; 2 is usual",
		audit.UnusualHour: "came at 9; 2 is usual", audit.RepositoryDeleted: "asked borg to delete the repository 9",
		audit.LockBroken: "asked borg to break the lock of 9", "other": "other: 9",
	} {
		if got := standoutInWords(audit.Standout{Kind: kind, Value: "9", Usual: "2"}); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}

// TestPrintStandouts holds that many clients that are new make no endless line.
func TestPrintStandouts(t *testing.T) {
	var s audit.Summary
	for n := range 12 {
		s.TooNew = append(s.TooNew, fmt.Sprint("c", n))
	}
	var out strings.Builder
	printStandouts(&out, s, 0)
	if want := "nothing stands out\ntoo little is known of c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more to tell what is unusual\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}
