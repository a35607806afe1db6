package audit_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"postern/audit"
)

func TestQuery(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 3000 })
	for n := range 12 {
		k.session(n)
		k.wait(time.Hour)
	}
	denied := from
	denied.Client, denied.Address, denied.ID = "nas2", "[2001:db8::7]:40000", "ffffffffffffffff"
	if err := k.trail.SessionDecided(denied, audit.Decision{Session: "ffffffffffffffff.1", Request: "sh -i", Verdict: "deny", Code: "program-unknown", Why: "no shell"}); err != nil {
		t.Fatal(err)
	}
	begin := clock().Truncate(time.Second)
	for name, c := range map[string]struct {
		q    audit.Query
		want int
	}{
		"everything of a client":       {audit.Query{Client: "nas2"}, 1},
		"a client that does not exist": {audit.Query{Client: "lap"}, 0},
		"an event":                     {audit.Query{Event: "session ended"}, 12},
		"a verdict":                    {audit.Query{Verdict: "deny"}, 1},
		"a key":                        {audit.Query{Key: "SHA256:abc", Event: "session decided"}, 13},
		"an address":                   {audit.Query{Address: netip.MustParsePrefix("2001:db8::/64")}, 1},
		"another address":              {audit.Query{Address: netip.MustParsePrefix("192.0.2.0/24"), Event: "session decided"}, 12},
		"a text":                       {audit.Query{Text: "sh -i"}, 1},
		"since":                        {audit.Query{Event: "session ended", Since: begin.Add(10 * time.Hour)}, 2},
		"until":                        {audit.Query{Event: "session ended", Until: begin.Add(2 * time.Hour)}, 2},
		"between":                      {audit.Query{Event: "session ended", Since: begin.Add(time.Hour), Until: begin.Add(3 * time.Hour)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var found []audit.Record
			if err := audit.Scan(k.dir, c.q, func(r audit.Record) bool { found = append(found, r); return true }); err != nil || len(found) != c.want {
				t.Errorf("found %d, %v, want %d", len(found), err, c.want)
			}
			newest, err := audit.Newest(k.dir, c.q, 100)
			if slices.Reverse(newest); err != nil || len(newest) != len(found) {
				t.Fatalf("found %d backwards, %v", len(newest), err)
			}
			for i := range found {
				if found[i].Number != newest[i].Number || !json.Valid(found[i].Line) {
					t.Errorf("record %d is %d backwards: %s", found[i].Number, newest[i].Number, found[i].Line)
				}
			}
			for n := 1; n <= c.want; n++ {
				if some, err := audit.Newest(k.dir, c.q, n); err != nil || len(some) != n || some[0].Number != found[len(found)-1].Number {
					t.Errorf("the newest %d: %d, %v", n, len(some), err)
				}
			}
		})
	}
	if sessions, err := audit.NewestSessions(k.dir, audit.Query{}, 3); err != nil || len(sessions) != 3 || sessions[0].Ended != nil || sessions[1].Ended == nil {
		t.Errorf("%+v, %v", sessions, err)
	}
	all, err := audit.SessionRecords(k.dir, sessionID(3))
	if err != nil || len(all) != 3 {
		t.Errorf("%d records, %v", len(all), err)
	}
}

func sessionID(n int) string { return "000000000000000" + string(rune('0'+n)) + ".1" }

// What is escaped comes back byte for byte.
func FuzzUnescape(f *testing.F) {
	for _, text := range []string{"plain", "\xff\\x\x00", "a\u202eb", `\u{41}`, "\x1b[2J", "ü\\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 {
			return
		}
		got := records(t, func(a *audit.Trail) error {
			return a.SessionDecided(audit.Connection{ID: "c1"}, audit.Decision{Session: "c1.1", Request: text, Verdict: "deny"})
		})[0]
		request, _ := got["request"].(string)
		if got["request_escaped"] == true {
			back, err := audit.Unescape(request)
			if err != nil {
				t.Fatal(err)
			}
			request = back
		}
		if request != text {
			t.Errorf("%q came back as %q", text, request)
		}
	})
}
