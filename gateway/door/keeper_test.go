package door

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

func TestUnban(t *testing.T) {
	folder := t.TempDir()
	p := newPorch(t, Config{})
	k := p.keep(folder)
	lift := func(network string) {
		t.Helper()
		var n netip.Prefix
		if network != "" {
			n = netip.MustParsePrefix(network)
		}
		if err := Unban(folder, n); err != nil {
			t.Fatal(err)
		}
		work(t, k)
		if left, err := os.ReadDir(filepath.Join(folder, requestsName)); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	for _, from := range []string{"192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1"} {
		p.bar(from)
	}
	work(t, k)
	lift("192.0.2.7/32")
	p.in("192.0.2.7")
	p.out("192.0.2.8")
	p.out("198.51.100.1")
	if got := bars(t, folder, p.now); len(got) != 3 {
		t.Errorf("saved %v", got)
	}
	lift("192.0.2.0/24")
	p.in("192.0.2.8")
	p.out("198.51.100.1")
	lift("2001:db8::1/128") // an address in a barred source
	p.in("2001:db8::1")
	lift("")
	p.in("198.51.100.1")
	if got := bars(t, folder, p.now); len(got) != 0 {
		t.Errorf("saved %v", got)
	}
}

// A request that was left while no gateway ran is taken up by the next.
func TestUnbanWithoutAGateway(t *testing.T) {
	folder := t.TempDir()
	p := newPorch(t, Config{})
	p.bar("192.0.2.7")
	work(t, p.keep(folder))
	if err := Unban(folder, netip.MustParsePrefix("192.0.2.7/32")); err != nil {
		t.Fatal(err)
	}
	next := newPorch(t, Config{})
	work(t, next.keep(folder))
	next.in("192.0.2.7")
}

// What is no request is removed and does nothing.
func TestWhatIsNoRequest(t *testing.T) {
	folder := t.TempDir()
	p := newPorch(t, Config{})
	k := p.keep(folder)
	p.bar("192.0.2.7")
	requests := filepath.Join(folder, requestsName)
	if err := os.Mkdir(requests, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a": "", "b": "{", "c": "{}", "d": `{"network":"nowhere"}`, "e": strings.Repeat(" ", 1<<20), "f": "null", ".g": `{"all":true}`} {
		if err := os.WriteFile(filepath.Join(requests, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(requests, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(requests, "link")); err != nil {
		t.Fatal(err)
	}
	if err := k.Work(); err == nil {
		t.Error("nothing is wrong")
	}
	p.out("192.0.2.7")
	if left, err := os.ReadDir(requests); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
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
