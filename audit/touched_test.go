package audit_test

import (
	"slices"
	"testing"

	"postern/audit"
)

// TestTouchedComesBack wants names from a record as they went into it.
func TestTouchedComesBack(t *testing.T) {
	k := keep(t)
	want := audit.Files{Session: "c1.1", Root: "/volume1/\xff", Files: []audit.File{
		{Deed: audit.Created, Kind: "file", Size: 12, Name: "a\nb\x1b[31m\xff\\x41 \u202etxt.exe\",\"did\":\"sent"},
		{Deed: audit.Deleted, Size: -1, Name: "plain\\name"},
		{Deed: audit.Sent, Kind: "link", Size: -1, Name: "cut", Cut: true},
	}}
	if err := k.trail.FilesTouched(from, want); err != nil {
		t.Fatal(err)
	}
	records, err := audit.Newest(k.dir, audit.Query{Event: "files touched"}, 10)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	got := records[0].Touched()
	if got.Session != want.Session || got.Root != want.Root || !slices.Equal(got.Files, want.Files) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestPath wants the sessions that touched a path, and no other.
func TestPath(t *testing.T) {
	k := keep(t)
	for session, name := range map[string]string{"c1.1": "docs/a b.txt", "c1.2": "docs/a b.txt.old", "c1.3": "docs\n/x", "c1.4": "other/docs"} {
		d := audit.Decision{Session: session, Tool: "rsync", Verdict: "allow"}
		if err := k.trail.SessionDecided(from, d); err != nil {
			t.Fatal(err)
		}
		f := audit.Files{Session: session, Root: "/volume1/laptop", Files: []audit.File{{Deed: audit.Changed, Kind: "file", Name: name}}}
		if err := k.trail.FilesTouched(from, f); err != nil {
			t.Fatal(err)
		}
	}
	borg := audit.Operations{Session: "c1.5", Repositories: []audit.Repository{{Path: "/volume1/laptop.borg/repo"}}}
	if err := k.trail.SessionDecided(from, audit.Decision{Session: "c1.5", Tool: "borg", Verdict: "allow"}); err != nil {
		t.Fatal(err)
	}
	if err := k.trail.BorgServed(from, borg); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"/volume1/laptop/docs/a b.txt": {"c1.1"},
		"/volume1/laptop/docs":         {"c1.1", "c1.2"},
		"/volume1/laptop/docs\n":       {"c1.3"},
		"/volume1/laptop/doc":          nil,
		"/volume1/laptop":              {"c1.1", "c1.2", "c1.3", "c1.4"},
		"/":                            {"c1.1", "c1.2", "c1.3", "c1.4", "c1.5"},
		"/volume1/laptop.borg":         {"c1.5"},
		"/volume1/laptop.borg/repo/db": nil,
		"/volume1/laptop.borg/repo":    {"c1.5"},
	} {
		sessions, err := audit.NewestSessions(k.dir, audit.Query{Path: path, Verdict: "allow"}, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range sessions {
			got = append(got, s.Decided.Session)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	if sessions, err := audit.NewestSessions(k.dir, audit.Query{Path: "/", Verdict: "deny"}, 10); err != nil || len(sessions) != 0 {
		t.Errorf("%d sessions were refused, %v", len(sessions), err)
	}
}

// TestPathNewest wants the sessions that touched a path last, each once.
func TestPathNewest(t *testing.T) {
	k := keep(t)
	for _, session := range []string{"c1.1", "c1.2", "c1.3"} {
		if err := k.trail.SessionDecided(from, audit.Decision{Session: session, Tool: "rsync", Verdict: "allow"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, session := range []string{"c1.1", "c1.2", "c1.3", "c1.3", "c1.1"} {
		f := audit.Files{Session: session, Root: "/volume1/laptop", Files: []audit.File{{Deed: audit.Changed, Kind: "file", Name: "a"}}}
		if err := k.trail.FilesTouched(from, f); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range map[int][]string{1: {"c1.1"}, 2: {"c1.1", "c1.3"}, 9: {"c1.1", "c1.3", "c1.2"}} {
		sessions, err := audit.NewestSessions(k.dir, audit.Query{Path: "/volume1"}, n)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range sessions {
			got = append(got, s.Decided.Session)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the newest %d: %q, want %q", n, got, want)
		}
	}
}
