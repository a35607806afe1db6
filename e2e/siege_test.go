package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// How many there are of what the tests named TestSiege send. A few of each show that
// they work; `make siege` asks for as many as they are about.
var (
	siegeSessions  = flag.Int("siege-sessions", 24, "how many sessions run at once")
	siegeStrangers = flag.Int("siege-strangers", 300, "how many bad connections a gateway gets")
	siegeAddresses = flag.Int("siege-addresses", 20, "from how many addresses of each family a gateway is flooded; its /48 is barred from 16 on")
	siegeRounds    = flag.Int("siege-rounds", 10, "how often each of these addresses comes; what bars it is three times")
)

// siegeWorld is a gateway as operators have it: started by root, with children of the
// folder's owner, and all limits at their defaults unless a line says otherwise.
func siegeWorld(t *testing.T) *world {
	t.Helper()
	if onlyBaseline() {
		t.Skip("about postern alone")
	}
	w := newTestWorld(t, manner{level: full, owner: backupUser})
	w.binary = os.Getenv(envPlain) // the race detector has a memory of its own
	if _, err := w.addClient("laptop", "rsync:nas/data"); err != nil {
		t.Fatal(err)
	}
	return w
}

// besiege starts the gateway of a world. A line about connections is what takes the
// harness's exemption of loopback away.
func (w *world) besiege(t *testing.T, connection string) *postern {
	t.Helper()
	w.config = append(w.config, "connection: "+connection)
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	return w.server.(*postern)
}

// gauge is what a gateway takes of its host.
type gauge struct {
	rss, peak            int // MiB
	threads, descriptors int
	// children are processes, childThreads their threads, and childMemory is what
	// they have for themselves, in MiB.
	children, childThreads, childMemory int
}

func (g gauge) String() string {
	return fmt.Sprintf("%d MiB (%d at most), %d threads, %d descriptors; %d processes below it with %d threads and %d MiB", g.rss, g.peak, g.threads,
		g.descriptors, g.children, g.childThreads, g.childMemory)
}

// measure reads the gauge of a process.
func measure(t *testing.T, pid int) gauge {
	t.Helper()
	status := fieldsOf(fmt.Sprintf("/proc/%d/status", pid))
	if status["VmHWM"] == 0 || status["Threads"] == 0 {
		t.Fatal("the gateway cannot be measured")
	}
	g := gauge{
		rss: status["VmRSS"] >> 10, peak: status["VmHWM"] >> 10, threads: status["Threads"], descriptors: len(descriptors(pid)),
	}
	kib := 0
	for _, child := range descendants(pid) {
		g.children++
		g.childThreads += fieldsOf(fmt.Sprintf("/proc/%d/status", child.pid))["Threads"]
		kib += fieldsOf(fmt.Sprintf("/proc/%d/smaps_rollup", child.pid))["Pss"]
	}
	g.childMemory = kib >> 10
	return g
}

// fieldsOf reads the numbers of a file of /proc that has lines such as "VmRSS: 12 kB".
func fieldsOf(path string) map[string]int {
	text, _ := os.ReadFile(path)
	fields := map[string]int{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if words := strings.Fields(value); len(words) > 0 {
			fields[name], _ = strconv.Atoi(words[0])
		}
	}
	return fields
}

// backups is a good client that backs up one small file again and again.
type backups struct {
	w *world
	// ssh is how it connects, and inside is before its command, if anything is.
	ssh    string
	inside []string
	folder string
	took   []time.Duration
}

// push makes one backup, and looks whether it is there.
func (b *backups) push() error {
	name, text := b.folder+"/file", []byte(strings.Repeat("x", 1000+len(b.took)))
	if err := write(b.w.path("src/"+name), text, 0o644); err != nil {
		return err
	}
	command := slices.Concat(b.inside, []string{b.w.path("bin/rsync"), "-rt", "-e", b.ssh, "src/" + b.folder, "nas:"})
	start := time.Now()
	_, complaints, status, err := b.w.run(command[0], command[1:]...)
	b.took = append(b.took, time.Since(start))
	if err != nil || status != 0 {
		return fmt.Errorf("backup %d of %s: status %d, %v: %s", len(b.took), b.folder, status, err, complaints)
	}
	stored, err := os.ReadFile(filepath.Join(b.w.path("nas/data"), name))
	if err == nil && string(stored) != string(text) {
		err = fmt.Errorf("backup %d of %s is not what was sent", len(b.took), b.folder)
	}
	return err
}

// quiet pushes so many times.
func (b *backups) quiet(t *testing.T, times int) []time.Duration {
	t.Helper()
	done := make(chan struct{})
	close(done)
	return b.goOn(t, times, done)
}

// during pushes while f goes on.
func (b *backups) during(t *testing.T, f func()) []time.Duration {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	took := b.goOn(t, 5, done)
	<-done
	return took
}

// breath is between two backups, so that they are not what they wait for.
const breath = 200 * time.Millisecond

// goOn pushes until done, and so many times at least, and returns how long each took,
// the shortest first.
func (b *backups) goOn(t *testing.T, least int, done <-chan struct{}) []time.Duration {
	t.Helper()
	b.took = nil
	for over := false; !over || len(b.took) < least; {
		if err := b.push(); err != nil {
			t.Error(err)
			break
		}
		select {
		case <-done:
			over = true
		case <-time.After(breath):
		}
	}
	slices.Sort(b.took)
	return b.took
}

// compareTimes logs how long the backups took beside a quiet run of theirs.
func compareTimes(t *testing.T, quiet, loud []time.Duration) {
	t.Helper()
	at := func(all []time.Duration, percent int) time.Duration { return all[(len(all)-1)*percent/100] }
	for _, percent := range []int{50, 90, 100} {
		q, l := at(quiet, percent), at(loud, percent)
		t.Logf("%3d %% of backups take at most %v in quiet (%d), %v under siege (%d): %.1f times", percent, q.Round(time.Millisecond), len(quiet),
			l.Round(time.Millisecond), len(loud), float64(l)/float64(q))
	}
}
