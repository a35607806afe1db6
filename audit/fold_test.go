package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"postern/audit"
)

// folded is a record that counts attempts.
type folded struct {
	Source  string
	Since   time.Time
	Sources int
	Kinds   []string
	Times   []int
}

// count returns how many attempts were recorded one by one, and the counts.
func (k *keeping) count() (single int, counts []folded) {
	k.t.Helper()
	err := audit.Scan(k.dir, audit.Query{}, func(r audit.Record) bool {
		switch r.Event {
		case "connection refused", "key refused":
			single++
		case "attempts folded":
			var f folded
			if err := json.Unmarshal(r.Line, &f); err != nil {
				k.t.Fatal(err)
			}
			counts = append(counts, f)
		}
		return true
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return single, counts
}

func total(counts []folded) (sum int) {
	for _, f := range counts {
		for _, n := range f.Times {
			sum += n
		}
	}
	return sum
}

// A flood from one source is a few records, and none of it is lost count of.
func TestFloodOfOneSource(t *testing.T) {
	k := keep(t)
	c := audit.Connection{Address: "192.0.2.7:50001"}
	for range 5000 {
		if err := errors.Join(k.trail.ConnectionRefused(c, "left"), k.trail.KeyRefused(c, audit.KeyRefusal{Code: "unknown-key"})); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.trail.ConnectionRefused(audit.Connection{Address: "[2001:db8::7]:1"}, "left"); err != nil {
		t.Fatal(err)
	}
	k.wait(time.Minute)
	k.session(1)
	single, counts := k.count()
	if len(counts) != 1 || counts[0].Source != "192.0.2.7/32" || fmt.Sprint(counts[0].Kinds) != "[connection refused key refused: unknown-key]" {
		t.Fatalf("%+v", counts)
	}
	if single > 100 || single+total(counts) != 10_001 {
		t.Errorf("%d records and %d counted of 10001", single, total(counts))
	}
	k.close()
	k.sound()
}

// One from many sources is, too: the subscribers of IPv6 have more addresses than
// anybody has memory.
func TestFloodOfManySources(t *testing.T) {
	k := keep(t)
	for n := range 30_000 {
		c := audit.Connection{Address: fmt.Sprintf("[2001:db8:%x:%x::%x]:1", n>>8, n&0xff, n)}
		if err := k.trail.ConnectionRefused(c, "left"); err != nil {
			t.Fatal(err)
		}
	}
	k.close()
	single, counts := k.count()
	if single > 1000 || len(counts) > 100 || single+total(counts) != 30_000 {
		t.Errorf("%d records, %d counts of %d", single, len(counts), total(counts))
	}
	k.sound()
}

// Whoever fails now and then is recorded each time.
func TestFewAttemptsAreRecordedOneByOne(t *testing.T) {
	k := keep(t)
	for range 100 {
		if err := k.trail.KeyRefused(from, audit.KeyRefusal{Code: "unknown-key"}); err != nil {
			t.Fatal(err)
		}
		k.wait(2 * time.Second)
	}
	if single, counts := k.count(); single != 100 || len(counts) != 0 {
		t.Errorf("%d records, %+v", single, counts)
	}
}

// What was counted when the trail is closed is told with its own beginning.
func TestCountsAtTheEnd(t *testing.T) {
	k := keep(t)
	began := k.o.Now()
	for range 100 {
		if err := k.trail.ConnectionRefused(audit.Connection{Address: "192.0.2.7:50001"}, "left"); err != nil {
			t.Fatal(err)
		}
	}
	k.wait(time.Second)
	k.close()
	if _, counts := k.count(); total(counts) != 40 || !counts[0].Since.Equal(began) {
		t.Errorf("%+v, which began at %s", counts, began)
	}
}
