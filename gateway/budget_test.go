package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestBudgetRefills(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := budget{now: func() time.Time { return now }}
	take := func(n int) (taken int) {
		for range n {
			if b.take() {
				taken++
			}
		}
		return taken
	}
	if got := take(budgetBurst + 50); got != budgetBurst {
		t.Errorf("took %d at once", got)
	}
	// Those in vain count as well: who does not stop does not recover.
	now = now.Add(50 * time.Second)
	if got := take(1); got != 0 {
		t.Errorf("took %d after 50 seconds", got)
	}
	now = now.Add(11 * time.Second)
	if got := take(20); got != 10 {
		t.Errorf("took %d after 11 more", got)
	}
	now = now.Add(-time.Hour) // a clock that is set back gives nothing
	if got := take(1); got != 0 {
		t.Errorf("took %d in the past", got)
	}
	// One each second, as from keepalives, lasts for ever.
	b = budget{now: func() time.Time { return now }}
	for range 10_000 {
		if now = now.Add(time.Second); take(1) != 1 {
			t.Fatal("a patient peer ran out of budget")
		}
	}
}

func TestTallyIsBounded(t *testing.T) {
	var all tally
	for i := range 1000 {
		all.add(fmt.Sprintf("kind %d %s", i, strings.Repeat("x", 100_000)))
	}
	all.add("keepalive@openssh.com")
	counts := all.take()
	if len(counts) != maxKinds+1 || counts["others"] != 1000-maxKinds {
		t.Errorf("%d kinds, %d others", len(counts), counts["others"])
	}
	for kind := range counts {
		if len(kind) > maxKindLength {
			t.Errorf("a kind has %d bytes", len(kind))
		}
	}
	if all.take() != nil {
		t.Error("a tally that was taken is not empty")
	}
}

// H1: should the library come to believe that nobody needs a key, there is still
// somebody who says no.
func TestNobodyNeedsNoKey(t *testing.T) {
	c := &connection{server: &Server{}}
	config := c.authentication(nil)
	if config.NoClientAuth || config.PasswordCallback != nil || config.KeyboardInteractiveCallback != nil || config.GSSAPIWithMICConfig != nil {
		t.Error("there is a way in without a key")
	}
	if permissions, err := config.NoClientAuthCallback(nil); err == nil || permissions != nil {
		t.Error("nobody is let in")
	}
}

func TestCrew(t *testing.T) {
	c := newCrew()
	for range 2 {
		if !c.join() {
			t.Fatal("nobody may join")
		}
	}
	gone := c.dismiss()
	if c.join() {
		t.Error("somebody joined a crew that was dismissed")
	}
	c.leave()
	select {
	case <-gone:
		t.Fatal("the crew is gone though one is there")
	default:
	}
	c.leave()
	<-gone
	<-c.dismiss()
	<-newCrew().dismiss()
}
