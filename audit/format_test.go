package audit_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// fullRecords are records of every event, with every field that it can have but
// those that stand for foreign text which was cut or escaped.
func fullRecords(t *testing.T) map[string][]string {
	t.Helper()
	k := keep(t, func(o *audit.Options) { o.FileSize, o.Keep = 1500, audit.Keep{Size: 1} })
	for n := range 3 {
		k.session(n)
	}
	k.close()
	k.o.FileSize, k.o.Keep = 0, audit.Keep{}
	k.open()
	a := k.trail
	proxied := from
	proxied.Proxy = "10.0.0.1:40000"
	decision := audit.Decision{Session: "c1.1", Request: "rsync --server -s", Arguments: []string{"rsync", "."}, Tool: "rsync", Direction: "push",
		Verdict: "allow", Code: "c", Why: "w", Detail: "d", Rules: []string{"laptop.yaml:4"}, Program: "/usr/bin/rsync", Args: []string{"rsync"},
		Dir: "/volume1", Confinement: "full", User: "1026:100"}
	err := errors.Join(
		a.GatewayStarted(audit.Start{Version: "1", Listen: []string{":2222"}, HostKeys: []string{"SHA256:h"}, Clients: 1, Policy: "ab", Confinement: "full",
			Programs: []audit.Program{{Name: "rsync", Path: "/usr/bin/rsync", Version: "3.2.7", Holes: []string{"CVE-1"}}}}),
		a.GatewayStopped("signal"), a.PolicyLoaded("ab", 1, 2, []string{"listen"}), a.PolicyRefused([]string{"postern.yaml:1:1: w"}),
		a.ListenerFailed(":22", errors.New("too many open files")), a.ControlRefused(1000, 12),
		a.SendingFailed("stdout", 1, "w"), a.SendingResumed("stdout"), a.SendingSkipped("stdout", 1, 2),
		a.ConnectionRefused(proxied, "no common algorithm"), a.ConnectionAccepted(proxied), a.ConnectionEnded(proxied, time.Second, 1, "the client left"),
		a.KeyRefused(proxied, audit.KeyRefusal{Fingerprint: "SHA256:x", Type: "ssh-ed25519", Proved: true, Code: "address", Why: "w"}),
		a.Panicked(proxied, "boom", "main.go:1"),
		a.RequestsRefused(proxied, "c1.1", map[string]int{"pty-req": 1}),
		a.SessionDecided(proxied, decision),
		a.BorgServed(proxied, audit.Operations{Session: "c1.1", Stopped: "s", Repositories: []audit.Repository{{Path: "/r", Create: true, Put: 1, Methods: map[string]int64{"put": 1}}}}),
		a.FilesTouched(proxied, audit.Files{Session: "c1.1", Root: "/volume1", Files: []audit.File{{Deed: audit.Created, Kind: "file", Size: 1, Name: "a", Cut: true}}}),
		a.SessionEnded(proxied, audit.End{Session: "c1.1", Status: 143, Signal: "terminated", Lasted: time.Second, In: 1, Out: 2, Err: 3, Why: "w", Code: "c", Failure: "f",
			Files: &audit.FileCounts{Created: 1, Unrecorded: 1, Unlogged: true}}))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := a.ConnectionRefused(proxied, "left"); err != nil {
			t.Fatal(err)
		}
	}
	note := k.announce("client add")
	err = errors.Join(note.Done(errors.New("f")), os.WriteFile(filepath.Join(k.dir, "notes", "x"), nil, 0o600), a.TakeNotes())
	if err != nil {
		t.Fatal(err)
	}
	// Somebody takes the folder away over midnight, and brings it back.
	k.wait(24 * time.Hour)
	away := k.dir + ".away"
	err = errors.Join(os.Rename(k.dir, away), func() error {
		if a.ConnectionAccepted(proxied) == nil {
			return errors.New("recorded in no folder")
		}
		return os.Rename(away, k.dir)
	}(), a.SessionDecided(proxied, decision))
	if err != nil {
		t.Fatal(err)
	}
	k.close()
	// An unfinished line makes the trail repair itself.
	last := k.files()[len(k.files())-1]
	k.put(last, append(k.raw(last), '{'))
	k.open()
	k.takenOver()
	fields := map[string][]string{}
	collect := func(line []byte) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		fields[kindOf(record)] = slices.Sorted(maps.Keys(record))
	}
	if err := audit.Scan(k.dir, audit.Query{}, func(r audit.Record) bool { collect(r.Line); return true }); err != nil {
		t.Fatal(err)
	}
	return fields
}

// takenOver writes what gateways do that share the trail, and closes it.
func (k *keeping) takenOver() {
	k.t.Helper()
	next := k.beside()
	killed := next.beside()
	killed.started()
	killed.trail.Die()
	await(k.t, func() bool { return k.number(audit.Query{Event: "gateway stopped", Text: `"lost":true`}) == 1 })
	err := errors.Join(k.trail.UpgradeFailed("w"), k.trail.GatewayUpgraded(1), k.trail.GatewayDraining("signal", 1, time.Unix(0, 0)))
	if err != nil {
		k.t.Fatal(err)
	}
	k.stopped()
	next.close()
}

// kindOf is the event; the end of a session, or of a gateway, that was lost is one of
// its own.
func kindOf(record map[string]any) string {
	event, _ := record["message"].(string)
	if record["lost"] == true {
		return event + ", lost"
	}
	return event
}

var examples = regexp.MustCompile("(?s)```json\n(.*?)```")

// TestFormatIsDocumented holds docs/audit-format.md against what is written: an
// example of every event, with the fields that it has and no others, each of
// which is explained.
func TestFormatIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/audit-format.md")
	if err != nil {
		t.Fatal(err)
	}
	want, got := fullRecords(t), map[string][]string{}
	for _, example := range examples.FindAllSubmatch(text, -1) {
		var record map[string]any
		if err := json.Unmarshal(example[1], &record); err != nil {
			t.Fatalf("%v in %s", err, example[1])
		}
		got[kindOf(record)] = slices.Sorted(maps.Keys(record))
	}
	for event, fields := range want {
		if !slices.Equal(got[event], fields) {
			t.Errorf("%q has\n%q, the example\n%q", event, fields, got[event])
		}
		for _, field := range fields {
			if !strings.Contains(string(text), "`"+field+"`") {
				t.Errorf("%q is not explained", field)
			}
		}
	}
	for event := range got {
		if want[event] == nil {
			t.Errorf("there is an example of %q, which nobody writes", event)
		}
	}
}
