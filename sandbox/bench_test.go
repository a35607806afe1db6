package sandbox_test

import (
	"testing"
	"time"

	"postern/sandbox"
)

// What confinement adds to the start of a child: each level reports how much
// more it took than none. As borg is started, with its number on the host, it
// has no process above it.
func BenchmarkStart(b *testing.B) {
	var unconfined time.Duration
	for _, l := range levels {
		for _, hostPIDs := range []bool{false, true} {
			if hostPIDs && !l.Includes(namespaces) {
				continue
			}
			name := l.String()
			if hostPIDs {
				name += "/host-pids"
			}
			b.Run(name, func(b *testing.B) {
				each := benchmarkStart(b, l, hostPIDs)
				if l == none {
					unconfined = each
				}
				b.ReportMetric(float64((each-unconfined).Microseconds())/1000, "ms-over-none/op")
			})
		}
	}
}

// benchmarkStart returns how long a start takes.
func benchmarkStart(b *testing.B, l sandbox.Level, hostPIDs bool) time.Duration {
	o := at(b, sandbox.Order{Program: "/usr/bin/rsync", Args: []string{"rsync", "--version"}, User: asNobody()}, l)
	o.Paths, o.HostPIDs = []sandbox.Path{{Path: publicDir(b), Writable: true}}, hostPIDs
	for b.Loop() {
		p, err := sandbox.Start(self, o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Wait()
		b.StartTimer()
	}
	return b.Elapsed() / time.Duration(b.N)
}
