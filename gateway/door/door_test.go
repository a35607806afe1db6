package door

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// porch is a door with a clock and chance of the test's own.
type porch struct {
	*Door
	t   *testing.T
	now time.Time
	// dice is what chance gives.
	dice int
}

func newPorch(t *testing.T, config Config) *porch {
	p := &porch{t: t, now: time.Date(2026, 10, 18, 1, 0, 0, 0, time.UTC)}
	config.Now = func() time.Time { return p.now }
	config.Chance = func(int) int { return p.dice }
	p.Door = New(config)
	return p
}

func (p *porch) wait(d time.Duration) { p.now = p.now.Add(d) }

func (p *porch) try(from string) (*Visit, error) {
	return p.Knock(netip.MustParseAddr(from), func() { p.t.Errorf("a visit from %s had to leave", from) })
}

// in has a visit let in.
func (p *porch) in(from string) *Visit {
	p.t.Helper()
	v, err := p.try(from)
	if err != nil {
		p.t.Fatalf("%s is refused: %v", from, err)
	}
	return v
}

// out has a visit refused.
func (p *porch) out(from string) {
	p.t.Helper()
	var refusal Refusal
	if _, err := p.try(from); !errors.As(err, &refusal) {
		p.t.Fatalf("%s: %v, want a refusal", from, err)
	}
}

// bar makes a source fail until it is barred.
func (p *porch) bar(from string) {
	p.t.Helper()
	for range 3 {
		p.in(from).End(AuthFail)
	}
	p.out(from)
}

func TestRandomEarlyRefusal(t *testing.T) {
	s := Startups{Start: 10, Rate: 30, Full: 100}
	for _, c := range []struct{ n, percent int }{{0, 0}, {9, 0}, {10, 30}, {55, 65}, {99, 99}, {100, 100}, {1000, 100}} {
		refused := 0
		for dice := range 100 {
			if s.refuses(c.n, func(int) int { return dice }) {
				refused++
			}
		}
		if refused != c.percent {
			t.Errorf("beside %d, %d of 100 are refused, want %d", c.n, refused, c.percent)
		}
	}
}

func TestConnectionsOfOneSource(t *testing.T) {
	p := newPorch(t, Config{PerSource: 2})
	first := p.in("192.0.2.7")
	p.in("::ffff:192.0.2.7")
	p.out("192.0.2.7")
	p.in("192.0.2.8")
	first.End(Nothing)
	first.End(Nothing)
	p.in("192.0.2.7")
	p.out("192.0.2.7")
	p.in("2001:db8::1")
	p.in("2001:db8::2%eth0")
	p.out("2001:db8::3")
	p.in("2001:db8:0:1::1")
}

// Whoever is in no longer counts.
func TestClientsThatAreInTakeNoPlace(t *testing.T) {
	p := newPorch(t, Config{PerSource: 1, Startups: Startups{1, 100, 1}})
	for range 10 {
		p.in("192.0.2.7").End(Proved)
	}
}

// A flood of strangers leaves their places to those that a client came from.
func TestStrangersCrowdNobodyOut(t *testing.T) {
	p := newPorch(t, Config{Startups: Startups{10, 30, 20}})
	p.in("192.0.2.7").End(Proved)
	p.dice = 99
	for n := range 20 {
		p.in(fmt.Sprintf("198.51.100.%d", n))
	}
	p.out("198.51.100.200")
	for range 20 {
		p.in("192.0.2.7")
	}
	p.out("192.0.2.7")
}

func TestPenaltiesAddUpAndAreForgiven(t *testing.T) {
	p := newPorch(t, Config{})
	p.in("192.0.2.7").End(AuthFail)
	p.in("192.0.2.7").End(AuthFail)
	p.wait(10 * time.Second)
	p.in("192.0.2.7").End(AuthFail) // the first two are forgiven
	p.in("192.0.2.7").End(GraceExceeded)
	p.out("192.0.2.7")
	p.in("192.0.2.8")
	p.wait(9 * time.Second) // what is left is below the minimum
	p.out("192.0.2.7")
	p.wait(6 * time.Second)
	p.in("192.0.2.7").End(NoAuth)
	p.in("192.0.2.7")
}

func TestEachFailureHasItsPenalty(t *testing.T) {
	for outcome, times := range map[Outcome]int{NoAuth: 15, AuthFail: 3, GraceExceeded: 2, RefuseConnection: 2, Crash: 1} {
		p := newPorch(t, Config{})
		for range times {
			p.in("192.0.2.7").End(outcome)
		}
		p.out("192.0.2.7")
	}
	p := newPorch(t, Config{})
	for range 1000 {
		p.in("192.0.2.7").End(Nothing)
	}
}

func TestPenaltyHasAnEnd(t *testing.T) {
	p := newPorch(t, Config{})
	var visits []*Visit
	for range 30 {
		visits = append(visits, p.in("192.0.2.7"))
	}
	for _, v := range visits {
		v.End(Crash)
	}
	p.wait(10*time.Minute - time.Second)
	p.in("192.0.2.7") // the one in some seconds
	p.out("192.0.2.7")
	p.wait(time.Second)
	p.in("192.0.2.7")
	p.in("192.0.2.7")
}

func TestExemptNetworks(t *testing.T) {
	p := newPorch(t, Config{IPv4Bits: 24, Penalties: Penalties{Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")}}})
	for range 10 {
		p.in("192.0.2.7").End(Crash)
		p.in("2001:db8::7").End(Crash)
	}
	p.in("192.0.2.8").End(Crash)
	p.out("192.0.2.9")
	p.in("192.0.2.7")
}

// neighbour is somebody behind the same address as a client.
type neighbour func(p *porch, from netip.Addr)

// A registered key from an allowed address is not locked out by others behind the
// same NAT: it gets in. Here they connect nine times a second, and fail or stay.
func TestClientBehindABadNeighbourGetsIn(t *testing.T) {
	const nat = "192.0.2.7"
	for name, comes := range map[string]neighbour{
		"that fails": func(p *porch, from netip.Addr) {
			if v, err := p.Knock(from, func() { t.Error("nobody is there to give way") }); err == nil {
				v.End(AuthFail)
			}
		},
		"that stays": func(p *porch, from netip.Addr) {
			if _, err := p.Knock(from, func() {}); err != nil {
				t.Errorf("refused: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPorch(t, Config{})
			p.in(nat).End(Proved)
			for range 3 {
				p.in(nat).End(AuthFail)
			}
			for range 1000 {
				left := false
				v, err := p.Knock(netip.MustParseAddr(nat), func() { left = true })
				if err != nil {
					t.Fatal(err)
				}
				for range 18 {
					comes(p, netip.MustParseAddr(nat))
					p.wait(time.Second / 9)
				}
				if left {
					t.Fatal("the client had less than two seconds")
				}
				v.End(Proved)
			}
		})
	}
}

// Somebody who takes all places of a known source at once has them for a moment.
func TestPlacesOfAKnownSourceAreNotKept(t *testing.T) {
	p := newPorch(t, Config{PerSource: 3})
	p.in("192.0.2.7").End(Proved)
	left := 0
	for range 3 {
		if _, err := p.Knock(netip.MustParseAddr("192.0.2.7"), func() { left++ }); err != nil {
			t.Fatal(err)
		}
	}
	p.out("192.0.2.7")
	p.wait(2 * time.Second)
	p.in("192.0.2.7")
	if left != 1 {
		t.Errorf("%d had to leave", left)
	}
}

// A client that comes from a barred source for the first time gets in when it tries
// for a while.
func TestStrangerIsLetInNowAndThen(t *testing.T) {
	p := newPorch(t, Config{})
	p.bar("192.0.2.7")
	for range 20 {
		p.wait(9 * time.Second)
		p.out("192.0.2.7")
		p.wait(time.Second)
		v := p.in("192.0.2.7")
		p.out("192.0.2.7")
		v.End(GraceExceeded)
	}
}

// A source is no longer known when nobody came for weeks.
func TestKnownSourcesAreForgotten(t *testing.T) {
	p := newPorch(t, Config{})
	p.in("192.0.2.7").End(Proved)
	p.wait(34 * 24 * time.Hour)
	for range 3 {
		p.in("192.0.2.7").End(AuthFail)
	}
	p.in("192.0.2.7")
	p.wait(2 * 24 * time.Hour)
	p.bar("192.0.2.7")
}

// Whoever has a /32 of IPv6 gains nothing by a new source for each failure, neither
// attempts nor the gateway's memory, and cannot make it forget the others.
func TestManySourcesOfOneNetwork(t *testing.T) {
	p := newPorch(t, Config{Penalties: Penalties{MaxSources: 2000}})
	p.in("2001:db8:ffff::1").End(Proved)
	p.bar("192.0.2.7")
	admitted := 0
	for n := range 100_000 {
		v, err := p.try(fmt.Sprintf("2001:db8:%x:%x::1", n&0xff, n>>8))
		if err == nil {
			v.End(AuthFail)
			admitted++
		}
		if n%1000 == 0 {
			p.wait(10 * time.Millisecond)
		}
	}
	if admitted > 800 {
		t.Errorf("%d were admitted", admitted)
	}
	if n := len(p.ledger.entries); n > 2000 {
		t.Errorf("%d are remembered", n)
	}
	p.out("192.0.2.7")
	p.out("2001:db8:abcd::1")
	p.in("2001:db9::1")
	p.in("2001:db8:ffff::1") // a client came from there
}

func TestMemoryIsBounded(t *testing.T) {
	p := newPorch(t, Config{Penalties: Penalties{MaxSources: 1000}})
	p.bar("192.0.2.7")
	for n := range 100_000 {
		p.in(fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&0xff, n&0xff)).End(NoAuth)
		if len(p.ledger.entries) > 1000 || len(p.inside) > 0 {
			t.Fatalf("%d are remembered, %d are inside", len(p.ledger.entries), len(p.inside))
		}
	}
	p.out("192.0.2.7") // the least are forgotten
	for n := range 2 * maxFriends {
		p.in(fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&0xff, n&0xff)).End(Proved)
		p.wait(time.Second)
		if len(p.seen) > maxFriends {
			t.Fatal("too many friends")
		}
	}
}

// However the clock jumps, a bar ends.
func TestClockJumps(t *testing.T) {
	p := newPorch(t, Config{})
	p.bar("192.0.2.7")
	p.wait(-1000 * time.Hour)
	p.in("192.0.2.7").End(Nothing) // the one in some seconds
	p.out("192.0.2.7")
	p.wait(10 * time.Minute)
	p.in("192.0.2.7")
	p.in("192.0.2.7")
}

// What the operator expects clients from is known before one came.
func TestExpectedSources(t *testing.T) {
	p := newPorch(t, Config{})
	p.Expect(slices.Values([]netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/23"), netip.MustParsePrefix("203.0.113.7/32"),
		netip.MustParsePrefix("2001:db8::/56"), netip.MustParsePrefix("2001:db8:ffff::1/128"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0"),
	}))
	for from, known := range map[string]bool{
		"192.0.2.99": true, "198.51.100.1": false, "203.0.113.7": true, "203.0.113.8": false, "::ffff:192.0.2.1": true,
		"2001:db8:0:ff::1": true, "2001:db8:0:100::1": false, "2001:db8:ffff::2": true, "2001:db8:ffff:1::1": false,
	} {
		if got := p.in(from).known; got != known {
			t.Errorf("%s is known: %t, want %t", from, got, known)
		}
	}
	p.Expect(slices.Values([]netip.Prefix{}))
	if p.in("192.0.2.99").known {
		t.Error("who is expected no longer is known")
	}
}
