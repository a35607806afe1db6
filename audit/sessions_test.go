package audit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// all are the records that meet a query.
func (k *keeping) all(q audit.Query) []audit.Record {
	k.t.Helper()
	var found []audit.Record
	if err := audit.Scan(k.dir, q, func(r audit.Record) bool { found = append(found, r); return true }); err != nil {
		k.t.Fatal(err)
	}
	return found
}

// What the indexes narrow, a walk along all records finds too.
func sessionsAreWhole(t *testing.T, k *keeping) {
	records, ends := k.all(audit.Query{}), map[string]uint64{}
	decided := map[string][]string{}
	for _, r := range records {
		switch r.Event {
		case "session decided":
			decided[r.Client] = append(decided[r.Client], r.Session)
			decided[""] = append(decided[""], r.Session)
		case "session ended":
			ends[r.Session] = r.Number
		}
	}
	for _, client := range []string{"", "client-004", "client-007", "client-100", "client-199"} {
		want := decided[client]
		slices.Reverse(want)
		for _, n := range []int{1, 7, 1_000_000} {
			sessions, err := audit.NewestSessions(k.dir, audit.Query{Client: client}, n)
			if err != nil || len(sessions) != min(n, len(want)) {
				t.Fatalf("%d sessions of %q, %v", len(sessions), client, err)
			}
			for i, s := range sessions {
				var end uint64
				if s.Ended != nil {
					end = s.Ended.Number
				}
				if s.Decided.Session != want[i] || end != ends[want[i]] {
					t.Errorf("session %d of %q is %s and ends with %d; want %s and %d", i, client, s.Decided.Session, end, want[i], ends[want[i]])
				}
			}
		}
	}
	for _, session := range decided["client-100"] {
		var want []uint64
		for _, r := range records {
			if r.Session == session || r.Session == "" && r.Connection == strings.TrimSuffix(session, ".1") {
				want = append(want, r.Number)
			}
		}
		found, err := audit.SessionRecords(k.dir, session)
		if got := numbersOf(found); err != nil || !slices.Equal(got, want) {
			t.Errorf("session %s has the records %d, %v, want %d", session, got, err, want)
		}
	}
}

func numbersOf(records []audit.Record) []uint64 {
	var all []uint64
	for _, r := range records {
		all = append(all, r.Number)
	}
	return all
}

// A session that its gateway did not survive has no end, and one that goes on over
// many files has.
func TestSessionsThatLast(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 3000 })
	decide := func(client, session string) {
		t.Helper()
		c := audit.Connection{ID: strings.TrimSuffix(session, ".1"), Client: client}
		if err := k.trail.SessionDecided(c, audit.Decision{Session: session, Verdict: "allow"}); err != nil {
			t.Fatal(err)
		}
	}
	busy := func(n int) {
		for range 10 {
			k.session(n)
			k.wait(time.Hour)
		}
	}
	decide("nas", "dead.1")
	busy(1)
	if err := k.trail.GatewayStarted(audit.Start{}); err != nil {
		t.Fatal(err)
	}
	decide("nas", "long.1")
	busy(2)
	if err := k.trail.SessionEnded(audit.Connection{ID: "long", Client: "nas"}, audit.End{Session: "long.1"}); err != nil {
		t.Fatal(err)
	}
	busy(3)
	decide("nas", "late.1")
	k.close()
	sessions, err := audit.NewestSessions(k.dir, audit.Query{Client: "nas"}, 10)
	if err != nil || len(sessions) != 3 || sessions[0].Ended != nil || sessions[1].Ended == nil || sessions[2].Ended != nil {
		t.Errorf("%+v, %v", sessions, err)
	}
	for session, want := range map[string]int{"dead.1": 1, "long.1": 2, "late.1": 1, "late.2": 0, "nobody.1": 0, "late": 0, "": 0} {
		if found, err := audit.SessionRecords(k.dir, session); err != nil || len(found) != want {
			t.Errorf("session %q has %d records, %v", session, len(found), err)
		}
	}
}

// A session is found where its name says, and also where that is wrong.
func TestSessionsAreFoundByTheirNames(t *testing.T) {
	k := keep(t)
	k.session(0)
	begun := fmt.Sprintf("%08x", clock().AddDate(0, 0, 3).Unix())
	k.wait(3 * 24 * time.Hour)
	for _, name := range []string{begun + "00000001", "ffffffff00000001", "0000000000000001", "x", begun[:4]} {
		c := from
		c.ID = name
		if err := k.trail.SessionDecided(c, audit.Decision{Session: name + ".1"}); err != nil {
			t.Fatal(err)
		}
		if err := k.trail.ConnectionEnded(c, time.Second, 1, "the client left"); err != nil {
			t.Fatal(err)
		}
		if found, err := audit.SessionRecords(k.dir, name+".1"); err != nil || len(found) != 2 {
			t.Errorf("session %s.1 has %d records, %v", name, len(found), err)
		}
	}
}

// A clock that is put back while a session runs hides nothing of it.
func TestSessionOfAClockThatIsPutBack(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 3000 })
	k.session(0)
	c := from
	c.ID = fmt.Sprintf("%08x00000001", clock().Unix())
	if err := k.trail.SessionDecided(c, audit.Decision{Session: c.ID + ".1", Verdict: "allow"}); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		k.wait(-24 * time.Hour)
		k.session(n)
	}
	err := errors.Join(k.trail.SessionEnded(c, audit.End{Session: c.ID + ".1"}), k.trail.ConnectionEnded(c, time.Second, 1, "the client left"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		k.session(n)
	}
	k.close()
	if found, err := audit.SessionRecords(k.dir, c.ID+".1"); err != nil || len(found) != 3 {
		t.Errorf("%d records, %v", len(found), err)
	}
	if sessions, err := audit.NewestSessions(k.dir, audit.Query{Text: c.ID}, 1); err != nil || len(sessions) != 1 || sessions[0].Ended == nil {
		t.Errorf("%+v, %v", sessions, err)
	}
}
