package e2e

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// How many there are of what the tests named TestSiege send. A few of each show that
// they work; `make siege` asks for as many as they are about.
var (
	siegeSessions = flag.Int("siege-sessions", 24, "how many sessions run at once")
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
