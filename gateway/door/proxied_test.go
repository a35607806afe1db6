package door

import (
	"net/netip"
	"testing"
)

// Connections that proxies say nothing of take places from nobody else, and have as
// many as others have.
func TestAwaitedConnections(t *testing.T) {
	p := newPorch(t, Config{PerSource: 1, Startups: Startups{3, 100, 3}})
	var overs []func()
	for range 3 {
		over, err := p.Await()
		if err != nil {
			t.Fatal(err)
		}
		overs = append(overs, over)
	}
	if _, err := p.Await(); err == nil {
		t.Error("a fourth one is awaited")
	}
	for n := range 3 {
		p.in(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}).String())
	}
	overs[0]()
	overs[0]()
	if _, err := p.Await(); err != nil {
		t.Error(err)
	}
	if _, err := p.Await(); err == nil {
		t.Error("one that is over twice leaves two places")
	}
}

// What a proxy does for itself is served beside any number of strangers, whatever
// failed from there.
func TestChecksOfAProxy(t *testing.T) {
	p := newPorch(t, Config{Startups: Startups{3, 100, 3}})
	proxy := netip.MustParseAddr("192.0.2.1")
	check := func() *Visit {
		t.Helper()
		v, err := p.KnockProxy(proxy, func() { t.Error("it had to leave") })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for range 10 {
		check().End(Crash)
	}
	p.bar("192.0.2.1")
	for range 10 {
		check().End(NoAuth)
	}
	for n := range 3 {
		p.in(netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}).String())
	}
	p.out("203.0.113.1")
	check().End(Nothing)
}
