package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// contender is one server of a benchmark.
type contender struct {
	name string
	w    *world
	took time.Duration
}

// contenders are postern at each level, and sshd.
func contenders(b *testing.B) []*contender {
	b.Helper()
	var all []*contender
	for _, level := range []string{none, landlock, namespaces, full} {
		all = append(all, contend(b, level, manner{level: level}))
	}
	return append(all, contend(b, "sshd", atFull))
}

// contend starts a contender in a world of its own: all run at once, so that what
// slows one slows all.
func contend(b *testing.B, name string, m manner, config ...string) *contender {
	b.Helper()
	work, err := os.MkdirTemp(os.Getenv(envRoot), "bench-")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(work, 0o755); err != nil {
		b.Fatal(err)
	}
	w, err := newWorld(work, name == "sshd", m)
	if err != nil {
		b.Fatal(err)
	}
	w.config = append(w.config, config...)
	b.Cleanup(func() {
		if err := w.close(false); err != nil {
			b.Error(err)
		}
		os.RemoveAll(work)
	})
	if _, err := w.addClient("laptop", "rsync:nas"); err != nil {
		b.Fatal(err)
	}
	if err := w.start(); err != nil {
		b.Fatal(err)
	}
	return &contender{name: name, w: w}
}

// compete has every contender run the command b.N times, in turns, and reports how
// long each took and how that compares with sshd.
func compete(b *testing.B, all []*contender, prepare func(*world) error, unit string, value func(time.Duration) float64, args ...string) {
	b.Helper()
	rounds := 0
	for b.Loop() {
		rounds++
		for _, c := range all {
			if err := prepare(c.w); err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			if _, complaints, status, err := c.w.run("rsync", args...); err != nil || status != 0 {
				b.Fatalf("%s: status %d, %v: %s", c.name, status, err, complaints)
			}
			c.took += time.Since(start)
		}
	}
	b.ReportMetric(0, "ns/op")
	baseline := all[len(all)-1].took
	for _, c := range all {
		b.ReportMetric(value(c.took/time.Duration(rounds)), fmt.Sprintf("%s-%s", c.name, unit))
		b.ReportMetric(float64(c.took)/float64(baseline), c.name+"-time/sshd")
	}
}

// BenchmarkSession is one whole session that moves nothing: connection, key
// exchange, sign-in, the start of rsync, and the end.
func BenchmarkSession(b *testing.B) {
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	compete(b, contenders(b), func(*world) error { return nil }, "ms", milliseconds, "-r", "nas:", "empty")
}

// benchmarkSize is enough that a session's start does not count.
const benchmarkSize = 512 << 20

// BenchmarkUpload and BenchmarkDownload move one large file.
func BenchmarkUpload(b *testing.B) {
	all := contenders(b)
	for _, c := range all {
		if err := os.Mkdir(c.w.path("src"), 0o755); err != nil {
			b.Fatal(err)
		}
		largeFile(b, c.w.path("src/large"))
	}
	compete(b, all, func(w *world) error { return os.RemoveAll(w.path("nas/large")) }, "MiB/s", throughput, "-W", "src/large", "nas:")
}

func BenchmarkDownload(b *testing.B) {
	all := contenders(b)
	for _, c := range all {
		largeFile(b, c.w.path("nas/large"))
	}
	compete(b, all, func(w *world) error { return os.RemoveAll(w.path("large")) }, "MiB/s", throughput, "-W", "nas:large", ".")
}

func throughput(d time.Duration) float64 { return benchmarkSize / (1 << 20) / d.Seconds() }

func largeFile(b *testing.B, path string) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	// No holes, and nothing that compresses to nothing.
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * i >> 3)
	}
	for range benchmarkSize >> 20 {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
}

// benchmarkFiles are small, so that what is recorded of each one counts.
const benchmarkFiles = 20_000

// BenchmarkFiles pushes many small files, with all that is recorded of them, with
// their counts alone, and to sshd.
func BenchmarkFiles(b *testing.B) {
	all := []*contender{
		contend(b, "all", atFull, "audit: {files: all}"), contend(b, "summary", atFull, "audit: {files: summary}"), contend(b, "sshd", atFull),
	}
	src, err := os.MkdirTemp(os.Getenv(envRoot), "files-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(src) })
	for i := range benchmarkFiles {
		folder := filepath.Join(src, fmt.Sprintf("folder-%03d", i/250))
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, fmt.Sprintf("file-%06d.txt", i)), []byte("small"), 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	compete(b, all, func(w *world) error { return os.RemoveAll(w.path("nas/files")) }, "s", time.Duration.Seconds, "-r", src+"/", "nas:files")
}
