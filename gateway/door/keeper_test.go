package door

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keep has a door kept in a folder.
func (p *porch) keep(folder string) *Keeper {
	p.t.Helper()
	k, err := Keep(p.Door, folder)
	if err != nil {
		p.t.Fatal(err)
	}
	return k
}

func work(t *testing.T, k *Keeper) {
	t.Helper()
	if err := k.Work(); err != nil {
		t.Fatal(err)
	}
}

// again is the door after a restart.
func (p *porch) again(folder string) *porch {
	p.t.Helper()
	next := newPorch(p.t, Config{})
	next.now = p.now
	next.keep(folder)
	return next
}

func bars(t *testing.T, folder string, now time.Time) map[string]float64 {
	t.Helper()
	s, err := Read(folder, now)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, b := range s.Bars {
		all[b.Network.String()] = b.Seconds
	}
	return all
}

func TestPenaltiesSurviveARestart(t *testing.T) {
	folder := t.TempDir()
	p := newPorch(t, Config{})
	k := p.keep(folder)
	p.in("192.0.2.77").End(Proved)
	p.in("2001:db8::1").End(Crash)
	p.bar("192.0.2.7")
	p.in("192.0.2.8").End(AuthFail)
	work(t, k)
	if got := bars(t, folder, p.now.Add(5*time.Second)); len(got) != 2 || got["192.0.2.7/32"] != 10 || got["2001:db8::/64"] != 85 {
		t.Errorf("saved %v", got)
	}
	p.wait(5 * time.Second)
	next := p.again(folder)
	next.out("2001:db8::1")
	next.in("192.0.2.8")
	next.wait(9 * time.Second)
	next.out("192.0.2.7")
	next.wait(time.Second)
	next.in("192.0.2.7")
	for range 4 {
		next.in("192.0.2.77").End(AuthFail)
	}
	next.in("192.0.2.77") // it is known
}

// A clock that was wrong, before a restart or after it, makes no bar endless.
func TestClockJumpsOverARestart(t *testing.T) {
	folder := t.TempDir()
	p := newPorch(t, Config{})
	k := p.keep(folder)
	p.bar("192.0.2.7")
	work(t, k)
	p.wait(-10000 * time.Hour)
	next := p.again(folder)
	next.out("192.0.2.7")
	next.wait(15 * time.Second)
	next.in("192.0.2.7")
	p.wait(20000 * time.Hour)
	p.again(folder).in("192.0.2.7")
	// A file that claims more than there can be.
	if err := os.WriteFile(filepath.Join(folder, stateName), []byte(`{"saved":"2999-01-01T00:00:00Z","bars":[{"network":"192.0.2.7/32","seconds":1e18}],"known":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	next = p.again(folder)
	next.out("192.0.2.7")
	next.wait(10 * time.Minute)
	next.in("192.0.2.7")
}

func TestSavesAreRare(t *testing.T) {
	folder := t.TempDir()
	p := newPorch(t, Config{})
	k := p.keep(folder)
	writes := 0
	var before os.FileInfo
	for n := range 10 {
		p.in(fmt.Sprintf("10.0.0.%d", n)).End(Crash)
		work(t, k)
		if now, err := os.Stat(filepath.Join(folder, stateName)); err == nil && (before == nil || !os.SameFile(before, now)) {
			writes, before = writes+1, now
		}
		p.wait(time.Second)
	}
	if writes != 1 {
		t.Errorf("%d writes in ten seconds", writes)
	}
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	if got := bars(t, folder, p.now); len(got) != 10 {
		t.Errorf("saved %v", got)
	}
}

func TestLift(t *testing.T) {
	folder := t.TempDir()
	p := newPorch(t, Config{})
	k := p.keep(folder)
	for _, from := range []string{"192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1"} {
		p.bar(from)
	}
	work(t, k)
	lift := func(network string, lifted, left int) {
		t.Helper()
		var n netip.Prefix
		if network != "" {
			n = netip.MustParsePrefix(network)
		}
		got := p.Lift(n)
		err := k.Save()
		saved, here := bars(t, folder, p.now), p.Bars()
		if err != nil || got != lifted || len(saved) != left || here == nil || len(here) != left {
			t.Errorf("%q: lifted %d, %v; left are %v, saved %v", network, got, err, here, saved)
		}
	}
	lift("203.0.113.0/24", 0, 4)
	lift("192.0.2.7/32", 1, 3)
	p.in("192.0.2.7")
	p.out("192.0.2.8")
	p.out("198.51.100.1")
	lift("192.0.2.0/24", 1, 2)
	p.in("192.0.2.8")
	p.out("198.51.100.1")
	lift("2001:db8::1/128", 3, 1) // an address in a barred source, and what is around that
	p.in("2001:db8::1")
	lift("", 1, 0)
	p.in("198.51.100.1")
}

// What is lifted while no gateway runs is lifted for the next one, which knows its
// friends as before.
func TestLiftWithoutAGateway(t *testing.T) {
	folder := t.TempDir()
	lift := func(network netip.Prefix, at time.Time, want int) {
		t.Helper()
		if got, err := Lift(folder, network, at); err != nil || got != want {
			t.Errorf("%s: lifted %d, %v", network, got, err)
		}
	}
	lift(netip.Prefix{}, time.Now(), 0)
	if _, err := os.Lstat(filepath.Join(folder, stateName)); !os.IsNotExist(err) {
		t.Errorf("nothing was to be lifted, but: %v", err)
	}
	p := newPorch(t, Config{})
	p.in("192.0.2.77").End(Proved)
	k := p.keep(folder)
	p.bar("192.0.2.7")
	p.bar("192.0.2.8")
	work(t, k)
	p.wait(5 * time.Second)
	lift(netip.MustParsePrefix("192.0.2.7/32"), p.now, 1)
	if got := bars(t, folder, p.now); len(got) != 1 || got["192.0.2.8/32"] != 10 {
		t.Errorf("left are %v", got)
	}
	next := p.again(folder)
	next.in("192.0.2.7")
	next.out("192.0.2.8")
	for range 4 {
		next.in("192.0.2.77").End(AuthFail)
	}
	next.in("192.0.2.77") // it is known
	if err := os.WriteFile(filepath.Join(folder, stateName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Lift(folder, netip.Prefix{}, p.now); err == nil {
		t.Error("a file was changed that cannot be understood")
	}
}

// A file that cannot be understood keeps no gateway from beginning.
func TestStateThatIsNone(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, stateName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPorch(t, Config{})
	k, err := Keep(p.Door, folder)
	if err == nil || !strings.Contains(err.Error(), stateName) {
		t.Errorf("error %v", err)
	}
	p.bar("192.0.2.7")
	work(t, k)
	if got := bars(t, folder, p.now); len(got) != 1 {
		t.Errorf("saved %v", got)
	}
}
