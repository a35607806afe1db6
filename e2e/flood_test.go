package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// The addresses of the flood's networks, and the port of the gateway in there.
const (
	floodGateway4, floodGateway6 = "10.66.0.1", "fd66::1"
	floodGood4, floodGood6       = "10.66.0.2", "fd66:0:0:ffff::2" // of the attackers' own /48
	floodNew4                    = "10.66.0.3"
	floodPort                    = "2222"
)

// TestSiegeAddresses floods a gateway from many addresses, each of which comes again
// and again with a key that nobody knows, or with anything else. It bars them, and has
// them in its list. A good client beside them keeps getting in, from an address of
// IPv4 and from one of IPv6 whose /48 is barred, and so does one that was never there.
func TestSiegeAddresses(t *testing.T) {
	t.Parallel()
	w := siegeWorld(t)
	if !hasIPv6() {
		t.Skip("this host has no IPv6")
	}
	w.network = newNetwork(t, w.tools)
	bad, good := newNetwork(t, w.tools), newNetwork(t, w.tools)
	wire(t, w.network, bad, good)
	w.network.address(t, "switch", floodGateway4+"/16", floodGateway6+"/48")
	good.address(t, "wire", floodGood4+"/16", floodGood6+"/48", floodNew4+"/16")
	f := &flood{strangers: strangers{t: t, counts: map[string]map[verdict]int{}}, network: bad, half: make(chan struct{})}
	f.settle()
	w.config = append(w.config, fmt.Sprintf("listen: [%q]", ":"+floodPort))
	p := w.besiege(t, "{sessions: 10}")

	four := &backups{w: w, ssh: sshTo(floodGateway4, floodGood4), inside: good.inside(), folder: "four"}
	six := &backups{w: w, ssh: sshTo(floodGateway6, floodGood6), inside: good.inside(), folder: "six"}
	late := &backups{w: w, ssh: sshTo(floodGateway4, floodNew4), inside: good.inside(), folder: "late"}
	quiet4, quiet6 := four.quiet(t, 5), six.quiet(t, 5)
	over := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { defer close(over); f.run() })
	all.Go(func() { compareTimes(t, quiet6, six.goOn(t, 10, over)) })
	all.Go(func() {
		<-f.half
		if err := late.push(); err != nil {
			t.Error(err)
		}
		f.barred(w)
	})
	loud4 := four.goOn(t, 10, over)
	all.Wait()
	compareTimes(t, quiet4, loud4)
	f.tell()
	w.littleOnRecord(t)
	if err := p.idle(); err != nil {
		t.Error(err)
	}
	t.Logf("after: %v", measure(t, p.pid()))
}

// littleOnRecord wants a trail that has counted attempts rather than told each: a
// flood must not fill the disk. Sixty thousand records would be more than 20 MiB.
func (w *world) littleOnRecord(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(w.path("gw/state/audit/*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no trail: %v", err)
	}
	const most = 4 << 20
	var size int64
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			size += info.Size()
		}
	}
	t.Logf("the trail has %d KiB", size>>10)
	if size > most {
		t.Errorf("the trail has %d bytes; %d should do", size, int64(most))
	}
}

// sshTo is an ssh from one address to another.
func sshTo(gateway, from string) string {
	return fmt.Sprintf("ssh -o HostName=%s -o Port=%s -o BindAddress=%s", gateway, floodPort, from)
}

// flood is the attackers of many addresses.
type flood struct {
	strangers
	network *network
	four    []net.IP
	six     []net.IP
	// half is closed when half of it has come.
	half chan struct{}
}

// settle gives the attackers their addresses: each of IPv6 is in a /64 of its own, and
// all of those are in one /48.
func (f *flood) settle() {
	f.t.Helper()
	var all []string
	for i := range *siegeAddresses {
		four, six := net.IPv4(10, 66, 1+byte(i>>8), byte(i)), net.ParseIP(fmt.Sprintf("fd66:0:0:%x::66", i+1))
		f.four, f.six = append(f.four, four), append(f.six, six)
		all = append(all, four.String()+"/16", six.String()+"/48")
	}
	f.network.address(f.t, "wire", all...)
}

// visitor is what one address does next.
type visitor struct {
	from    net.IP
	gateway string
	visit   visit
}

// run has every address come again and again.
func (f *flood) run() {
	start, queue := time.Now(), make(chan visitor)
	var wait sync.WaitGroup
	for range strangersAtOnce {
		wait.Go(func() {
			for v := range queue {
				f.come(v)
			}
		})
	}
	kinds := badConnections(newSigner(f.t))
	stranger := kinds[len(kinds)-1]
	for round := range *siegeRounds {
		if round == *siegeRounds/2 {
			close(f.half)
		}
		for i := range f.four {
			v := stranger
			if round%2 == 1 {
				v = kinds[(i+round)%len(kinds)]
			}
			queue <- visitor{f.four[i], net.JoinHostPort(floodGateway4, floodPort), v}
			queue <- visitor{f.six[i], net.JoinHostPort(floodGateway6, floodPort), v}
		}
	}
	close(queue)
	wait.Wait()
	f.t.Logf("%d connections from %d addresses within %v", *siegeRounds*2*len(f.four), 2*len(f.four), time.Since(start).Round(time.Second))
}

// come makes one connection.
func (f *flood) come(v visitor) {
	var conn *net.TCPConn
	if err := f.network.do(func() (err error) {
		conn, err = dialFrom(v.from, v.gateway)
		return err
	}); err != nil {
		f.t.Errorf("%s: %v", v.from, err)
		return
	}
	f.count("all", v.visit.strike(context.Background(), conn, false))
}

// tell says what became of them.
func (f *flood) tell() {
	c := f.counts["all"]
	f.t.Logf("%d served, %d turned away, %d dropped", c[served], c[turnedAway], c[dropped])
	if c[stuck] > 0 || c[turnedAway] == 0 {
		f.t.Errorf("%d were not ended, and %d were turned away", c[stuck], c[turnedAway])
	}
}

// barred waits until the list of who is barred has had every address of IPv4, and the
// network around those of IPv6.
func (f *flood) barred(w *world) {
	f.t.Helper()
	want := []netip.Prefix{netip.MustParsePrefix("fd66::/48")}
	for _, four := range f.four {
		want = append(want, netip.MustParsePrefix(four.String()+"/32"))
	}
	if err := until(func() (bool, string) {
		out, err := w.postern("bans", "--json")
		if err != nil {
			return false, err.Error()
		}
		var bars []struct{ Network netip.Prefix }
		if err := json.Unmarshal([]byte(out), &bars); err != nil {
			return false, err.Error()
		}
		for _, b := range bars {
			want = slices.DeleteFunc(want, func(n netip.Prefix) bool { return n == b.Network })
			if n := b.Network; n.Contains(netip.MustParseAddr(floodGood4)) || n.Bits() > 48 && n.Contains(netip.MustParseAddr(floodGood6)) {
				f.t.Errorf("the good client is barred: %v", n)
			}
		}
		return len(want) == 0, fmt.Sprintf("these are not barred: %v", want)
	}); err != nil {
		f.t.Error(err)
	}
}
