package audit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"postern/audit"
)

// TestBackups holds what counts as a backup.
func TestBackups(t *testing.T) {
	k := keep(t)
	n := 0
	session := func(d audit.Decision, o *audit.Operations, e audit.End) {
		t.Helper()
		n++
		d.Session, e.Session = fmt.Sprintf("c%d.1", n), fmt.Sprintf("c%d.1", n)
		d.Args = []string{d.Tool}
		if d.Verdict == "" {
			d.Verdict = "allow"
		}
		err := k.trail.SessionDecided(from, d)
		if o != nil {
			o.Session = d.Session
			err = errors.Join(err, k.trail.BorgServed(from, *o))
		}
		if err := errors.Join(err, k.trail.SessionEnded(from, e)); err != nil {
			t.Fatal(err)
		}
		k.wait(time.Hour)
	}
	push, borg := audit.Decision{Tool: "rsync", Direction: "push", Stores: true}, audit.Decision{Tool: "borg", Direction: "serve", Stores: true}
	did := func(methods map[string]int64) *audit.Operations {
		return &audit.Operations{Repositories: []audit.Repository{{Path: "/r", Methods: methods, Put: 500}}}
	}
	session(push, nil, audit.End{In: 1000, Files: &audit.FileCounts{Created: 2, Deleted: 3}})
	session(push, nil, audit.End{In: 1, Status: 23})
	session(audit.Decision{Tool: "rsync", Direction: "pull"}, nil, audit.End{In: 2})
	session(audit.Decision{Tool: "rsync", Direction: "push"}, nil, audit.End{In: 3}) // a dry run
	session(audit.Decision{Tool: "rsync", Stores: true, Verdict: "deny"}, nil, audit.End{In: 4})
	session(borg, did(map[string]int64{"open": 1, "put": 3, "commit": 1}), audit.End{In: 5})
	session(borg, did(map[string]int64{"open": 1, "put": 1, "commit": 1}), audit.End{In: 6}) // a compaction
	session(borg, did(map[string]int64{"open": 1, "put": 3}), audit.End{In: 7})              // broken off
	session(borg, nil, audit.End{In: 8})
	session(push, nil, audit.End{In: 9, Failure: "no"})

	found, err := audit.Backups(k.dir, clock().Add(-time.Hour))
	if err != nil || len(found) != 1 || len(found["laptop"]) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	for i, want := range []audit.Backup{{Tool: "rsync", Bytes: 1000, Session: "c1.1"}, {Tool: "borg", Bytes: 500, Session: "c6.1"}} {
		got := found["laptop"][i]
		if got.Tool != want.Tool || got.Bytes != want.Bytes || got.Session != want.Session || got.Time.IsZero() {
			t.Errorf("%+v, want %+v", got, want)
		}
		if counted := got.Files != nil; counted != (i == 0) || counted && *got.Files != (audit.FileCounts{Created: 2, Deleted: 3}) {
			t.Errorf("files of %s: %+v", got.Session, got.Files)
		}
	}
	if found, err := audit.Backups(k.dir, clock().Add(time.Hour)); err != nil || len(found["laptop"]) != 1 {
		t.Errorf("since an hour later: %+v, %v", found, err)
	}
}
