package sandbox_test

import (
	"testing"

	"postern/sandbox"
)

// What confinement adds to the start of a child.
func BenchmarkStart(b *testing.B) {
	for _, l := range levels {
		b.Run(l.String(), func(b *testing.B) {
			o := at(b, sandbox.Order{Program: "/usr/bin/rsync", Args: []string{"rsync", "--version"}, User: asNobody()}, l)
			o.Paths = []sandbox.Path{{Path: publicDir(b), Writable: true}}
			for b.Loop() {
				p, err := sandbox.Start(self, o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				p.Wait()
				b.StartTimer()
			}
		})
	}
}
