package configs

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// many writes the files of n clients, as old as files usually are.
func (w *world) many(n int) {
	for i := range n {
		w.nth(i, false)
	}
}

func (w *world) nth(i int, disabled bool) {
	w.client(nthName(i), fmt.Sprintf("keys:\n  - %s\nfrom: [192.168.1.0/24]\nexpires: 2999-06-30\ndisabled: %t\nallow:\n"+
		"  - rsync: /nowhere/%d\n    delete: false\n  - borg: /nowhere/%d.borg\n    append_only: true\nexpect: 26h\n",
		numberedKey(w.t, i), disabled, i, i))
}

func nthName(i int) string { return fmt.Sprintf("client%06d", i) }

// later is a loader for which every file has been left alone for long.
func (w *world) later() *Loader {
	l := newLoader(w.path("postern.yaml"), w.options())
	l.now = func() time.Time { return time.Now().Add(time.Hour) }
	return l
}

func BenchmarkLoader(b *testing.B) {
	const clients = 10_000
	w := newWorld(b)
	w.many(clients)
	l := w.later()
	load := func(b *testing.B, told ...string) {
		before := spent(b)
		if _, err := l.load(told); err != nil {
			b.Fatal(err)
		}
		// On a machine that is busy otherwise this tells more than the clock.
		b.ReportMetric(float64((spent(b) - before).Milliseconds()), "cpu-ms-last")
	}
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			l.Forget()
			load(b)
		}
	})
	b.Run("one changed", func(b *testing.B) {
		load(b)
		for i := 0; b.Loop(); i++ {
			w.nth(17, i%2 == 0)
			load(b)
		}
	})
	b.Run("one told", func(b *testing.B) {
		load(b)
		for i := 0; b.Loop(); i++ {
			w.nth(17, i%2 == 0)
			load(b, w.path("clients.d/"+nthName(17)+".yaml"))
		}
	})
	b.Run("none changed", func(b *testing.B) {
		for b.Loop() {
			load(b)
		}
	})
}

// spent is the time that the process has had of all processors.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMemory says what is in use once the clients are loaded, and has been
// reloaded with one changed. POSTERN_BENCH_CLIENTS is how many there are.
func BenchmarkMemory(b *testing.B) {
	clients, err := strconv.Atoi(os.Getenv("POSTERN_BENCH_CLIENTS"))
	if err != nil {
		b.Skip("set POSTERN_BENCH_CLIENTS, such as to 100000")
	}
	w := newWorld(b)
	w.many(clients)
	l := w.later()
	var c *Config
	for i := range 2 {
		w.nth(17, i == 1)
		if c, err = l.Load(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
	}
	var peak, kept runtime.MemStats
	runtime.ReadMemStats(&peak)
	runtime.GC()
	runtime.ReadMemStats(&kept)
	b.ReportMetric(float64(peak.Sys)/(1<<20), "MiB-of-system")
	b.ReportMetric(float64(kept.HeapAlloc)/(1<<20), "MiB-kept")
	runtime.KeepAlive(c)
	runtime.KeepAlive(l)
}
