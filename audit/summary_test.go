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

// life is a trail with clients that come and go.
type life struct {
	*keeping
	n int
}

// visit records a connection of a client with one rsync push in it.
func (l *life) visit(client, address string, end audit.End) {
	l.t.Helper()
	l.serve(client, address, audit.Decision{Tool: "rsync", Direction: "push", Stores: true}, nil, end)
}

func (l *life) serve(client, address string, d audit.Decision, did *audit.Operations, end audit.End) {
	l.t.Helper()
	l.n++
	c := audit.Connection{ID: fmt.Sprintf("c%d", l.n), Address: address + ":50000", Client: client}
	d.Args = []string{d.Tool}
	d.Session, d.Verdict, end.Session, end.Why = c.ID+".1", "allow", c.ID+".1", "the program ended"
	err := errors.Join(l.trail.ConnectionAccepted(c), l.trail.SessionDecided(c, d))
	if did != nil {
		did.Session = d.Session
		err = errors.Join(err, l.trail.BorgServed(c, *did))
	}
	if err := errors.Join(err, l.trail.SessionEnded(c, end)); err != nil {
		l.t.Fatal(err)
	}
}

// nights lets a client come once a day from one address, with that many files
// deleted and twice as many changed.
func (l *life) nights(client string, deleted ...int64) {
	l.t.Helper()
	for _, n := range deleted {
		l.visit(client, "192.0.2.7", touched(n, 2*n))
		l.wait(24 * time.Hour)
	}
}

func touched(deleted, changed int64) audit.End {
	return audit.End{In: 1000, Out: 10, Files: &audit.FileCounts{Deleted: deleted, Changed: changed, Created: 1}}
}

// summary is that of the days from one on, counted from that on which the trail
// began, until now.
func (l *life) summary(since int, change ...func(*audit.Period)) audit.Summary {
	l.t.Helper()
	day := clock().In(time.UTC).Truncate(24*time.Hour).AddDate(0, 0, since)
	p := audit.Period{Since: day, Until: l.o.Now().Add(time.Second), History: 90 * 24 * time.Hour}
	for _, c := range change {
		c(&p)
	}
	s, err := audit.Summarise(l.dir, p)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// stands are what stands out, the oldest first: day client kind value usual.
func stands(s audit.Summary) []string {
	all := []string{}
	for _, o := range s.Standouts {
		all = append(all, strings.Join([]string{o.Time.UTC().Format("01-02"), o.Client, o.Kind, o.Value, o.Usual}, " "))
	}
	slices.Reverse(all)
	return all
}

func TestSummaryOfDays(t *testing.T) {
	l := &life{keeping: keep(t)}
	l.visit("laptop", "192.0.2.7", touched(0, 0))
	l.wait(24 * time.Hour)
	l.visit("laptop", "192.0.2.7", touched(3, 4))
	l.visit("laptop", "192.0.2.8", audit.End{In: 7, Status: 23})
	l.visit("nas", "2001:db8::1]", audit.End{}) // no address
	denied := audit.Connection{ID: "d", Address: "192.0.2.7:1", Client: "laptop"}
	if err := l.trail.SessionDecided(denied, audit.Decision{Session: "d.1", Verdict: "deny"}); err != nil {
		t.Fatal(err)
	}
	put := &audit.Operations{Repositories: []audit.Repository{{Path: "/r", Put: 9, Methods: map[string]int64{"put": 3, "commit": 1, "delete": 2}}}}
	l.serve("nas", "192.0.2.9", audit.Decision{Tool: "borg", Stores: true}, put, audit.End{In: 50})
	s := l.summary(1)
	want := []audit.ClientDay{
		{Client: "laptop", Day: "2026-10-19", Sessions: 2, Failed: 1, Refused: 1, Backups: 1, In: 1007, Out: 10, NewAddresses: []string{"192.0.2.8"}},
		{Client: "nas", Day: "2026-10-19", Sessions: 2, Backups: 2, In: 50, NewAddresses: []string{"192.0.2.9"}},
	}
	if len(s.Days) != len(want) {
		t.Fatalf("%+v", s.Days)
	}
	for i, d := range s.Days {
		files, objects := d.Files, d.Objects
		d.Files, d.Objects = nil, nil
		if fmt.Sprint(d) != fmt.Sprint(want[i]) {
			t.Errorf("%+v, want\n%+v", d, want[i])
		}
		if d.Client == "laptop" && (objects != nil || *files != audit.FileCounts{Created: 1, Changed: 4, Deleted: 3}) ||
			d.Client == "nas" && (files != nil || *objects != audit.ObjectCounts{Put: 3, Deleted: 2}) {
			t.Errorf("%s: files %+v, objects %+v", d.Client, files, objects)
		}
	}
	if len(s.Standouts) != 0 || !slices.Equal(s.TooNew, []string{"laptop", "nas"}) {
		t.Errorf("standouts %+v, too new %q", s.Standouts, s.TooNew)
	}
	if s := l.summary(1, func(p *audit.Period) { p.Client = "nas" }); len(s.Days) != 1 || s.Days[0].Client != "nas" || s.Attempts != nil {
		t.Errorf("%+v", s)
	}
	// What is a new day elsewhere is none here.
	west := time.FixedZone("west", -5*3600)
	s = l.summary(0, func(p *audit.Period) { p.Since = p.Since.Add(-48 * time.Hour).In(west) })
	if len(s.Days) != 3 || s.Days[0].Day != "2026-10-17" || s.Days[1].Day != "2026-10-18" {
		t.Errorf("%+v", s.Days)
	}
}

// TestSummaryOfLost holds that what ran when its gateway was killed has failed, once
// the next one says so.
func TestSummaryOfLost(t *testing.T) {
	l := &life{keeping: keep(t)}
	c := audit.Connection{ID: "c", Address: "192.0.2.7:1", Client: "laptop"}
	err := errors.Join(l.trail.ConnectionAccepted(c), l.trail.SessionDecided(c, audit.Decision{Session: "c.1", Verdict: "allow", Tool: "rsync"}))
	if err != nil {
		t.Fatal(err)
	}
	if s := l.summary(0); len(s.Days) != 1 || s.Days[0].Sessions != 0 {
		t.Errorf("while it runs: %+v", s.Days)
	}
	l.close()
	l.wait(30 * time.Hour)
	l.open()
	if s := l.summary(1); len(s.Days) != 1 || s.Days[0].Day != "2026-10-19" || s.Days[0].Sessions != 1 || s.Days[0].Failed != 1 {
		t.Errorf("%+v", s.Days)
	}
}

// TestAmountsThatStandOut holds what is far more than usual, and what is not.
func TestAmountsThatStandOut(t *testing.T) {
	few := []int64{3, 0, 5, 2, 4, 1, 3, 2}
	for name, c := range map[string]struct {
		before, then []int64
		want         []string
	}{
		"a wiped folder":          {few, []int64{5000}, []string{"files deleted 5000 3", "files changed 10000 6"}},
		"more, but few":           {few, []int64{40}, nil},
		"two days of it":          {few, []int64{5000, 2, 4000}, []string{"files deleted 5000 3", "files changed 10000 6", "files deleted 4000 2", "files changed 8000 4"}},
		"a client that does much": {[]int64{900, 1100, 1000, 1200, 950, 1000, 1000}, []int64{1900}, nil},
		"once a week":             {[]int64{3, 0, 900, 2, 4, 1, 3, 2, 5, 1000}, []int64{1200}, nil},
		"more than once a week":   {[]int64{3, 0, 900, 2, 4, 1, 3, 2, 5, 1000}, []int64{2400}, []string{"files deleted 2400 3", "files changed 4800 6"}},
		"one odd day before":      {slices.Concat([]int64{9000}, few, few, few), []int64{300}, []string{"files deleted 300 3", "files changed 600 6"}},
		"too little is known":     {few[:6], []int64{5000}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := &life{keeping: keep(t)}
			l.nights("laptop", c.before...)
			l.nights("laptop", c.then...)
			s := l.summary(len(c.before))
			got := stands(s)
			for i := range got {
				_, got[i], _ = strings.Cut(got[i], " laptop ")
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if tooNew := len(s.TooNew) == 1; tooNew != (len(c.before) < 7) {
				t.Errorf("too new: %q", s.TooNew)
			}
		})
	}
}

// TestSessionThatStandsOut holds that the session which did the most is named.
func TestSessionThatStandsOut(t *testing.T) {
	l := &life{keeping: keep(t)}
	l.nights("laptop", 1, 1, 1, 1, 1, 1, 1, 1)
	l.visit("laptop", "192.0.2.7", touched(10, 0))
	l.visit("laptop", "192.0.2.7", touched(600, 0))
	l.visit("laptop", "192.0.2.7", touched(20, 0))
	s := l.summary(8)
	if len(s.Standouts) != 1 || s.Standouts[0].Session != "c10.1" || s.Standouts[0].Value != "630" || !s.Standouts[0].Time.Equal(l.o.Now()) {
		t.Errorf("%+v", s.Standouts)
	}
}

// TestNewAddress holds that an address stands out for a client that does not
// travel, once, and that one of IPv6 is the network of a subscriber.
func TestNewAddress(t *testing.T) {
	l := &life{keeping: keep(t)}
	for day := range 10 {
		l.visit("desk", "192.0.2.7", touched(0, 0))
		l.visit("six", fmt.Sprintf("[2001:db8::%x]", day+1), touched(0, 0))
		l.visit("mobile", fmt.Sprintf("198.51.100.%d", day), touched(0, 0))
		l.wait(24 * time.Hour)
	}
	for range 2 {
		l.visit("desk", "203.0.113.9", touched(0, 0))
		l.visit("six", "[2001:db8::ffff]", touched(0, 0))
		l.visit("six", "[2001:db8:1::1]", touched(0, 0))
		l.visit("mobile", "198.51.100.200", touched(0, 0))
		l.visit("new", "203.0.113.9", touched(0, 0))
	}
	s := l.summary(10)
	want := []string{"10-28 desk new address 203.0.113.9 192.0.2.7", "10-28 six new address 2001:db8:1::/64 2001:db8::/64"}
	got := stands(s)
	if slices.Sort(got); !slices.Equal(got, want) || !slices.Equal(s.TooNew, []string{"new"}) {
		t.Errorf("%q, too new: %q", got, s.TooNew)
	}
	for _, d := range s.Days {
		if len(d.NewAddresses) != 1 {
			t.Errorf("%s: new are %q", d.Client, d.NewAddresses)
		}
	}
	if o := s.Standouts[0]; o.Connection == "" || o.Session != "" {
		t.Errorf("%+v", o)
	}
}

// TestUnusualHour holds that an hour stands out that is no neighbour of a usual
// one, for a client that keeps hours at all.
func TestUnusualHour(t *testing.T) {
	l := &life{keeping: keep(t)}
	at := func(client string, hour int) {
		l.time.Store(l.o.Now().Truncate(24 * time.Hour).Add(time.Duration(hour) * time.Hour).Unix())
		l.visit(client, "192.0.2.7", touched(0, 0))
	}
	for day := range 12 {
		at("any", day*5%24)
		at("night", 23)
		l.wait(2 * time.Hour)
	}
	for _, hour := range []int{0, 22, 12, 13} {
		at("any", hour)
		at("night", hour)
	}
	s := l.summary(12)
	if got := stands(s); !slices.Equal(got, []string{"10-30 night unusual hour 12:00 23:00"}) || s.Standouts[0].Session == "" {
		t.Errorf("%q", got)
	}
	// In another zone it is another hour.
	s = l.summary(12, func(p *audit.Period) { p.Since = p.Since.In(time.FixedZone("x", 2*3600)) })
	if got := stands(s); !slices.Equal(got, []string{"10-30 night unusual hour 14:00 01:00"}) {
		t.Errorf("%q", got)
	}
}

// TestBorgThatStandsOut holds that repositories and locks need no history.
func TestBorgThatStandsOut(t *testing.T) {
	l := &life{keeping: keep(t)}
	borg := audit.Decision{Tool: "borg", Stores: true}
	did := func(path string, methods map[string]int64) *audit.Operations {
		return &audit.Operations{Repositories: []audit.Repository{{Path: path, Methods: methods}}}
	}
	for range 8 {
		l.serve("laptop", "192.0.2.7", borg, did("/r", map[string]int64{"delete": 20}), audit.End{})
		l.wait(24 * time.Hour)
	}
	l.serve("laptop", "192.0.2.7", borg, did("/r", map[string]int64{"delete": 90_000, "break_lock": 1}), audit.End{})
	l.serve("laptop", "192.0.2.7", borg, did("/old", map[string]int64{"destroy": 1}), audit.End{})
	got := stands(l.summary(8))
	slices.Sort(got)
	if want := []string{"10-26 laptop lock broken /r ", "10-26 laptop objects deleted 90000 20", "10-26 laptop repository deleted /old "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSummaryOfAttempts holds that what was folded counts as if it were not.
func TestSummaryOfAttempts(t *testing.T) {
	l := &life{keeping: keep(t)}
	probe := func(address string, times int) {
		t.Helper()
		for range times {
			c := audit.Connection{ID: "p", Address: address}
			err := errors.Join(l.trail.ConnectionRefused(c, "left"), l.trail.KeyRefused(c, audit.KeyRefusal{Code: "unknown-key"}))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	probe("192.0.2.99:1", 500) // before the period
	l.wait(24 * time.Hour)
	probe("192.0.2.66:1", 200)
	for n := range 20 {
		probe(fmt.Sprintf("[2001:db8:%x::1]:1", n), n)
	}
	l.wait(2 * time.Minute)
	probe("192.0.2.66:1", 1)
	l.close()
	l.open()
	a := l.summary(1).Attempts
	if a.Total != 402+2*190 || a.Sources != 20 || len(a.Top) != 10 {
		t.Fatalf("%+v", a)
	}
	top := a.Top[0]
	if top.Source != "192.0.2.66" || top.Attempts != 402 || top.Kinds["connection refused"] != 201 || top.Kinds["key refused: unknown-key"] != 201 || !top.Last.Equal(l.o.Now()) {
		t.Errorf("%+v", top)
	}
	if a.Top[1].Source != "2001:db8:13::/64" || a.Top[1].Attempts != 38 {
		t.Errorf("%+v", a.Top[1])
	}
}
