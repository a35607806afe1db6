package audit_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/audit"
)

// change is one, as of now.
func (k *keeping) change(command string) audit.Change {
	return audit.Change{Command: command, Client: "laptop", Session: "6ad41b05d7c892f2.1", File: "/etc/postern/clients.d/laptop.yaml", Source: "192.0.2.7/32",
		UID: 1000, By: "anna", SudoUser: "bob", Terminal: "/dev/pts/1", At: k.o.Now()}
}

func (k *keeping) announce(command string) *audit.Note {
	k.t.Helper()
	n, err := audit.Announce(k.dir, k.change(command))
	if err != nil {
		k.t.Fatal(err)
	}
	return n
}

// noted is what the trail says of changes: each command with its failure.
func (k *keeping) noted() []string {
	k.t.Helper()
	if err := k.trail.TakeNotes(); err != nil {
		k.t.Fatal(err)
	}
	var all []string
	err := audit.Scan(k.dir, audit.Query{Event: "administrative change"}, func(r audit.Record) bool {
		all = append(all, strings.TrimSuffix(r.Command+": "+r.Failure, ": "))
		return true
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}

// left are the names of what lies in the folder of the notes.
func (k *keeping) left(folder string) []string {
	k.t.Helper()
	entries, err := os.ReadDir(filepath.Join(k.dir, folder))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		k.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (k *keeping) wantNoted(want ...string) {
	k.t.Helper()
	if got := k.noted(); !slices.Equal(got, want) {
		k.t.Errorf("on record are %q, want %q", got, want)
	}
}

func TestNotesBecomeRecords(t *testing.T) {
	k := keep(t)
	k.wantNoted()
	first, second, third := k.announce("client add"), k.announce("client remove"), k.announce("init")
	k.wantNoted() // nobody has done anything yet
	if err := errors.Join(first.Done(nil), second.Withdraw(), third.Done(errors.New("disk full"))); err != nil {
		t.Fatal(err)
	}
	// Within one millisecond their order is that of chance.
	if got := k.noted(); len(got) != 2 || !slices.Contains(got, "client add") || !slices.Contains(got, "init: disk full") {
		t.Errorf("%q", got)
	}
	if left := k.left("notes"); len(left) != 0 {
		t.Errorf("left are %q", left)
	}
	newest, err := audit.Newest(k.dir, audit.Query{Text: "client add"}, 1)
	if err != nil || len(newest) != 1 {
		t.Fatal(newest, err)
	}
	for _, field := range []string{`"uid":1000`, `"by":"anna"`, `"sudo_user":"bob"`, `"terminal":"/dev/pts/1"`, `"at":"2026-10-18T01:04:05.000Z"`, `"client":"laptop"`, `"session":"6ad41b05d7c892f2.1"`} {
		if !strings.Contains(string(newest[0].Line), field) {
			t.Errorf("%s is not in %s", field, newest[0].Line)
		}
	}
}

// TestNotesInTheirOrder holds that notes that were left while no gateway ran come in
// the order of the changes.
func TestNotesInTheirOrder(t *testing.T) {
	k := keep(t)
	var want []string
	for _, command := range []string{"z", "y", "x"} {
		if err := k.announce(command).Done(nil); err != nil {
			t.Fatal(err)
		}
		want = append(want, command)
		k.wait(time.Second)
	}
	k.wantNoted(want...)
}

// TestCommandThatWasKilled holds that what a command had announced is on record,
// also when it never said how it ended, and when it says so very late.
func TestCommandThatWasKilled(t *testing.T) {
	k := keep(t)
	late := k.announce("client add")
	k.wait(2 * time.Minute)
	k.wantNoted("client add: the command did not say how it ended")
	if err := errors.Join(late.Done(nil), late.Withdraw()); err != nil {
		t.Error(err)
	}
	k.wantNoted("client add: the command did not say how it ended")
}

// TestNotesOnce replays a gateway that was killed between the record and the
// removal of the note: the next one neither doubles nor loses it.
func TestNotesOnce(t *testing.T) {
	k := keep(t)
	k.wantNoted()
	note := k.announce("client add")
	if err := note.Done(nil); err != nil {
		t.Fatal(err)
	}
	name := k.left("notes")[0]
	path := filepath.Join(k.dir, "notes", name)
	text := k.raw(filepath.Join("notes", name))
	k.wantNoted("client add")
	k.close()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.announce("client remove").Done(nil); err != nil {
		t.Fatal(err)
	}
	k.open()
	k.wantNoted("client add", "client remove")
	if left := k.left("notes"); len(left) != 0 {
		t.Errorf("left are %q", left)
	}
}

// TestNoNotes holds that what is no note is moved aside, is on record by its name,
// and keeps no note from being taken.
func TestNoNotes(t *testing.T) {
	k := keep(t)
	if err := k.announce("client add").Done(nil); err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(k.dir, "notes")
	name := func(letter string) string { return "20261018T010405.000Z-" + strings.Repeat(letter, 26) + ".json" }
	for file, text := range map[string]string{
		"README\x1b[2J": "", name("A"): "{", name("B"): `{"uid":1}`, name("C"): strings.Repeat(" ", 40_000), name("D"): `{"command":"x"} y`,
	} {
		if err := os.WriteFile(filepath.Join(notes, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Symlink("/dev/zero", filepath.Join(notes, name("E"))), os.Mkdir(filepath.Join(notes, name("F")), 0o700),
		syscall.Mkfifo(filepath.Join(notes, name("G")), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	k.wantNoted("client add")
	k.wantNoted("client add")
	if left, aside := k.left("notes"), k.left("notes/refused"); len(left) != 1 || len(aside) != 8 {
		t.Errorf("left are %q and %q", left, aside)
	}
	why := map[string]string{}
	err = audit.Scan(k.dir, audit.Query{Event: "note refused"}, func(r audit.Record) bool {
		var named struct{ Name string }
		if err := json.Unmarshal(r.Line, &named); err != nil || why[named.Name] != "" {
			t.Error(err, named)
		}
		why[named.Name] = r.Why
		return true
	})
	if err != nil || len(why) != 8 || why[name("C")] != "it is longer than 32768 bytes" || why[name("G")] != "it is no file" {
		t.Errorf("%q, %v", why, err)
	}
}

// TestNotesElsewhere holds that a link does not lead a note of root's out of the state.
func TestNotesElsewhere(t *testing.T) {
	for _, link := range []string{"audit", "audit/notes"} {
		state, elsewhere := t.TempDir(), t.TempDir()
		dir := filepath.Join(state, "audit")
		err := os.MkdirAll(filepath.Dir(filepath.Join(state, link)), 0o700)
		if err := errors.Join(err, os.Symlink(elsewhere, filepath.Join(state, link))); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Announce(dir, audit.Change{Command: "x", At: clock()}); err == nil || !strings.Contains(err.Error(), "is no folder") {
			t.Errorf("%s: %v", link, err)
		}
		if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) != 0 {
			t.Errorf("%v, %v", entries, err)
		}
	}
}

// TestNoRoomForANote holds that Announce leaves nothing behind where it fails.
func TestNoRoomForANote(t *testing.T) {
	state := t.TempDir()
	c := audit.Change{Command: "client add", File: strings.Repeat("x", 40_000), At: clock()}
	if _, err := audit.Announce(filepath.Join(state, "audit"), c); err == nil {
		t.Error("no error")
	}
	if entries, err := os.ReadDir(state); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if _, err := audit.Announce(filepath.Join(state, "none", "audit"), audit.Change{Command: "x", At: clock()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a state folder: %v", err)
	}
}
