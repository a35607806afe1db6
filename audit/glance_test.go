package audit

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// seen are the fields of a record that a glance takes in.
func seen(r Record) Record {
	return Record{
		Event: r.Event, Time: r.Time, Client: r.Client, Address: r.Address, Connection: r.Connection, Session: r.Session,
		Tool: r.Tool, Verdict: r.Verdict, Code: r.Code, Failure: r.Failure, Stores: r.Stores, Status: r.Status, Seconds: r.Seconds, In: r.In, Out: r.Out,
		Created: r.Created, Changed: r.Changed, Deleted: r.Deleted, Sent: r.Sent, Unrecorded: r.Unrecorded, Unlogged: r.Unlogged, Line: r.Line,
	}
}

// TestGlance holds that a glance sees what a reader does, in the records of every
// event.
func TestGlance(t *testing.T) {
	at := time.Date(2026, 10, 18, 3, 4, 5, 60e6, time.UTC)
	var out strings.Builder
	trail := New(&out, func() time.Time { return at })
	c := Connection{ID: "c1", Address: "192.0.2.7:1", Login: "\xff\"},{", Software: `\"message":"x"}`, Client: "laptop", Key: "SHA256:abc"}
	for _, err := range []error{
		trail.GatewayStarted(Start{Programs: []Program{{Name: "rsync", Holes: []string{"a", "b"}}}}), trail.ConnectionAccepted(c),
		trail.KeyRefused(c, KeyRefusal{Code: "address", Why: `\`}), trail.ConnectionRefused(c, `"`),
		trail.SessionDecided(c, Decision{Session: "c1.1", Request: "sh -c '{\"client\":\"evil\"}'\n", Args: []string{"]", `"`}, Tool: "rsync", Verdict: "allow", Stores: true}),
		trail.BorgServed(c, Operations{Session: "c1.1", Repositories: []Repository{{Path: `/r","client":"evil"`, Methods: map[string]int64{"put": 1}}}}),
		trail.SessionEnded(c, End{Session: "c1.1", Status: 3, Lasted: 1500 * time.Millisecond, In: 1, Out: 2, Failure: "\u202e", Files: &FileCounts{1, 2, 3, 4, 5, true}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		n++
		want, err := parseRecord([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := glance([]byte(line), map[string]bool{want.Event: true})
		if !ok || !reflect.DeepEqual(got, seen(want)) {
			t.Errorf("%v\n%+v, want\n%+v", ok, got, seen(want))
		}
		if _, ok := glance([]byte(line), map[string]bool{"x": true}); ok {
			t.Errorf("%s is no event that was asked for", want.Event)
		}
	}
	if n != 7 {
		t.Errorf("%d records", n)
	}
}

// FuzzGlance holds that no line makes a glance fail otherwise than by saying so, and
// that it finds the members of what is an object.
func FuzzGlance(f *testing.F) {
	for _, text := range []string{`{"a":1,"b":"\\\"","c":[{"d":"}"},2],"message":"m"}`, `{"a"`, `{"a":"\`, `{"a":{`, `{}`, `{,}`, `{"a":1]`, `{"":""}`, "{\"a\":1}\n", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, line string) {
		found := map[string]string{}
		ok := members([]byte(line), func(key, value []byte) bool {
			if len(value) > 0 {
				found[string(key)] = string(value)
			}
			return true
		})
		_, _ = glance([]byte(line), map[string]bool{"m": true})
		var want map[string]json.RawMessage
		// What the gateway writes is UTF-8, without spaces between the members.
		if json.Unmarshal([]byte(line), &want) != nil || !ok || !utf8.ValidString(line) || strings.ContainsAny(line, " \t\r\n\\") {
			return
		}
		for key, value := range want {
			if found[key] != string(value) {
				t.Errorf("%q is %q, want %q, of %s", key, found[key], value, fmt.Sprintf("%q", line))
			}
		}
	})
}
