package audit_test

import (
	"testing"
	"time"

	"postern/audit"
)

const day = 24 * time.Hour

// A clock that says 2099 for a moment, or when the host starts, makes nothing old.
func TestWrongClockRemovesNothing(t *testing.T) {
	ahead := 73 * 365 * day
	for name, jump := range map[string]func(k *keeping){
		"for a moment": func(k *keeping) {
			for n := range 3 {
				k.wait(ahead)
				k.session(100 + n)
				k.wait(-ahead)
				k.session(200 + n)
			}
		},
		"when it starts": func(k *keeping) {
			k.close()
			k.wait(ahead)
			k.open()
			k.session(100)
			k.close()
			k.wait(-ahead)
			k.open()
		},
		"into the past": func(k *keeping) {
			k.wait(-ahead)
			k.session(100)
			k.wait(ahead)
			k.session(101)
			k.wait(day)
			k.session(102)
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := keep(t, func(o *audit.Options) { o.Keep = audit.Keep{Age: 400 * day} })
			for n := range 5 {
				k.session(n)
				k.wait(day)
			}
			jump(k)
			k.session(1000)
			k.close()
			if v := k.sound(); v.First != 1 {
				t.Errorf("the records before %d were removed", v.First)
			}
		})
	}
}

// A gateway that was off for long forgets what is old on its second day.
func TestLongOff(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.Keep = audit.Keep{Age: 400 * day} })
	for n := range 3 {
		k.session(n)
		k.wait(day)
	}
	k.close()
	k.wait(500 * day)
	k.open()
	k.session(10)
	k.wait(day)
	k.session(11)
	k.close()
	if v := k.sound(); v.Files != 2 {
		t.Errorf("%q", k.files())
	}
}

// Records are found by their times, and sessions by their numbers, whatever the
// clock did between.
func TestReadAfterTheClockJumped(t *testing.T) {
	k := keep(t)
	begin := clock().Truncate(time.Second)
	for n, jump := range []time.Duration{0, 10 * day, -5 * day, day, -3 * day} {
		k.wait(jump)
		k.session(n)
	}
	// The clock goes back while a session runs.
	c := from
	c.ID = "ffffffffffffffff"
	if err := k.trail.SessionDecided(c, audit.Decision{Session: c.ID + ".1", Verdict: "allow"}); err != nil {
		t.Fatal(err)
	}
	k.wait(-2 * day)
	if err := k.trail.SessionEnded(c, audit.End{Session: c.ID + ".1"}); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]struct {
		q    audit.Query
		want int
	}{
		"since": {audit.Query{Event: "session ended", Since: begin.Add(6 * day)}, 2}, // the days are 0, 10, 5, 6, 3, 1
		"until": {audit.Query{Event: "session ended", Until: begin.Add(4 * day)}, 3},
	} {
		found := 0
		if err := audit.Scan(k.dir, w.q, func(audit.Record) bool { found++; return true }); err != nil || found != w.want {
			t.Errorf("%s: %d records, want %d, %v", name, found, w.want, err)
		}
	}
	if sessions, err := audit.NewestSessions(k.dir, audit.Query{}, 1); err != nil || len(sessions) != 1 || sessions[0].Ended == nil {
		t.Errorf("the last session, which ended before it began: %+v, %v", sessions, err)
	}
	sessions, err := audit.NewestSessions(k.dir, audit.Query{}, 10)
	if err != nil || len(sessions) != 6 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	for i, s := range sessions {
		if s.Ended == nil || i > 0 && s.Decided.Number >= sessions[i-1].Decided.Number {
			t.Errorf("%d: %s", i, s.Decided.Line)
		}
	}
}
