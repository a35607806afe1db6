package audit_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"postern/audit"
	"postern/internal/office"
)

var officeRecords = flag.Int("office-records", 500_000, "how many records the trail has that is measured; a year of an office is 10000000")

// BenchmarkTrail measures what readers of the trail of an office ask for. peak-MiB
// is the most memory that the process held meanwhile.
func BenchmarkTrail(b *testing.B) {
	// In memory where there is such a folder: what is measured is not the disk.
	base, err := os.MkdirTemp("/dev/shm", "postern-trail-")
	if err != nil {
		base = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(base) })
	dir := filepath.Join(base, "audit")
	if err := office.Write(dir, *officeRecords, nil); err != nil {
		b.Fatal(err)
	}
	key, err := audit.PublicKey(audit.PublicKeyFile(dir))
	if err != nil {
		b.Fatal(err)
	}
	verdict, err := audit.Verify(dir, key, nil, nil)
	if err != nil || verdict.Fault != nil {
		b.Fatalf("%v, %+v", err, verdict)
	}
	held, indexes := sizes(b, dir)
	b.Logf("%d records in %d files: %d MiB raw, %d MiB on the disk, of which %d KiB are indexes",
		verdict.Records, verdict.Files, verdict.Bytes>>20, held>>20, indexes>>10)
	whole := func(name string, read func() (bool, error)) {
		measure(b, name, verdict.Bytes, read)
	}
	whole("Verify", func() (bool, error) {
		v, err := audit.Verify(dir, key, nil, nil)
		return v.Fault == nil, err
	})
	for _, scan := range []struct {
		name string
		q    audit.Query
	}{
		{"ScanForText", audit.Query{Text: "offers-77"}},
		{"ScanForEvent", audit.Query{Event: "session ended"}},
		{"ScanForClient", audit.Query{Client: "client-042", Event: "session ended"}},
	} {
		whole(scan.name, func() (found bool, err error) {
			err = audit.Scan(dir, scan.q, func(audit.Record) bool { found = true; return true })
			return found, err
		})
	}
	var oldest audit.Session
	for _, page := range []struct {
		name string
		q    audit.Query
		n    int
	}{
		{"NewestPage", audit.Query{}, 20},
		{"OneClient", audit.Query{Client: "client-042"}, 50},
		{"OneQuietClient", audit.Query{Client: office.Quiet}, 50},
	} {
		measure(b, page.name, 0, func() (bool, error) {
			sessions, err := audit.NewestSessions(dir, page.q, page.n)
			if len(sessions) > 0 {
				oldest = sessions[len(sessions)-1]
			}
			return len(sessions) > 0, err
		})
	}
	measure(b, "OneSession", 0, func() (bool, error) {
		records, err := audit.SessionRecords(dir, oldest.Decided.Session)
		return len(records) > 2, err
	})
}

// measure runs one question again and again, which must have an answer.
func measure(b *testing.B, name string, bytes int64, ask func() (bool, error)) {
	b.Run(name, func(b *testing.B) {
		b.SetBytes(bytes)
		debug.FreeOSMemory()
		// Where the kernel does not forget the peak, it is that of all before.
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
		for b.Loop() {
			if ok, err := ask(); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
		b.ReportMetric(peak(b), "peak-MiB")
	})
}

func peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// sizes are what the folder takes, and its indexes.
func sizes(b *testing.B, dir string) (all, indexes int64) {
	b.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			b.Fatal(err)
		}
		all += info.Size()
		if strings.HasSuffix(f.Name(), ".index") {
			indexes += info.Size()
		}
	}
	return all, indexes
}

// BenchmarkRecord measures what a record costs that is on the disk, and what it costs
// beside a gateway that shares the trail.
func BenchmarkRecord(b *testing.B) {
	for _, shared := range []bool{false, true} {
		b.Run(fmt.Sprintf("shared=%t", shared), func(b *testing.B) {
			trail, err := audit.Open(audit.Options{Dir: filepath.Join(b.TempDir(), "audit"), Prints: io.Discard, Now: time.Now})
			if err != nil {
				b.Fatal(err)
			}
			defer trail.Close()
			if shared {
				offer, err := trail.Offer()
				if err != nil {
					b.Fatal(err)
				}
				defer offer.Close()
			}
			for b.Loop() {
				if err := trail.SessionDecided(from, audit.Decision{Session: "c1.1", Request: "rsync --server . /volume1", Verdict: "allow"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
