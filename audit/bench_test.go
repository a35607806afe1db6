package audit_test

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/audit"
)

// office writes the trail of an office with 200 clients, with a session every
// few seconds: connection, decision, end and end again. It returns the folder and
// the key.
func office(b *testing.B, sessions int) (string, ed25519.PublicKey) {
	b.Helper()
	// In memory where there is such a folder: what is measured is not the disk.
	base, err := os.MkdirTemp("/dev/shm", "postern-trail-")
	if err != nil {
		base = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(base) })
	dir := filepath.Join(base, "audit")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	trail, err := audit.Open(audit.Options{Dir: dir, Prints: io.Discard, Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range sessions {
		now = now.Add(time.Duration(random.IntN(20)) * time.Second)
		if err := busy(trail, random); err != nil {
			b.Fatal(err)
		}
	}
	if err := trail.Close(); err != nil {
		b.Fatal(err)
	}
	key, err := audit.PublicKey(audit.PublicKeyFile(dir))
	if err != nil {
		b.Fatal(err)
	}
	return dir, key
}

// busy records one session of some client.
func busy(trail *audit.Trail, random *rand.Rand) error {
	client := random.IntN(200)
	id := fmt.Sprintf("%016x", random.Uint64())
	c := audit.Connection{
		ID: id, Address: fmt.Sprintf("10.0.%d.%d:%d", client/100, client%100, 1024+random.IntN(60000)), Login: "backup",
		Software: "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10", Client: fmt.Sprintf("client-%03d", client),
		Key: fmt.Sprintf("SHA256:%043d", client*7919),
	}
	folder := fmt.Sprintf("/volume1/Backups/client-%03d", client)
	if err := trail.ConnectionAccepted(c); err != nil {
		return err
	}
	err := trail.SessionDecided(c, audit.Decision{
		Session: id + ".1", Request: "rsync --server -logDtpre.iLsfxCIvu --delete-during . " + folder + "/home/", Tool: "rsync", Direction: "push", Verdict: "allow",
		Rules: []string{fmt.Sprintf("/etc/postern/clients.d/client-%03d.yaml:4", client)}, Program: "/usr/bin/rsync", Dir: folder, Confinement: "full", User: "1026:100",
		Args: []string{"rsync", "--server", "-logDtpre.iLsfxCIvu", "--delete-during", "--drop-D", "--confine-root=" + folder, "--", ".", folder + "/home/"},
	})
	if err != nil {
		return err
	}
	if err := trail.SessionEnded(c, audit.End{Session: id + ".1", Lasted: time.Duration(random.IntN(1e9)), In: random.Int64N(1e10), Out: 4711, Why: "the program ended"}); err != nil {
		return err
	}
	return trail.ConnectionEnded(c, time.Second, 1, "the client left")
}

// benchmarkSessions are four records each: some hundred megabytes.
const benchmarkSessions = 150_000

func BenchmarkTrail(b *testing.B) {
	dir, key := office(b, benchmarkSessions)
	verdict, err := audit.Verify(dir, key, nil, nil)
	if err != nil || verdict.Fault != nil {
		b.Fatalf("%v, %+v", err, verdict)
	}
	var held int64
	files, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			held += info.Size()
		}
	}
	b.Logf("%d records, %d MB raw, %d MB on the disk in %d files", verdict.Records, verdict.Bytes>>20, held>>20, verdict.Files)
	b.Run("Verify", func(b *testing.B) {
		b.SetBytes(verdict.Bytes)
		for b.Loop() {
			if v, err := audit.Verify(dir, key, nil, nil); err != nil || v.Fault != nil {
				b.Fatal(v, err)
			}
		}
	})
	b.Run("Scan", func(b *testing.B) {
		b.SetBytes(verdict.Bytes)
		for b.Loop() {
			found := 0
			err := audit.Scan(dir, audit.Query{Client: "client-042", Event: "session ended"}, func(audit.Record) bool { found++; return true })
			if err != nil || found == 0 {
				b.Fatal(found, err)
			}
		}
	})
	b.Run("Newest", func(b *testing.B) {
		for b.Loop() {
			if found, err := audit.NewestSessions(dir, audit.Query{}, 20); err != nil || len(found) != 20 {
				b.Fatal(len(found), err)
			}
		}
	})
	b.Run("NewestOfOneClient", func(b *testing.B) {
		for b.Loop() {
			if found, err := audit.NewestSessions(dir, audit.Query{Client: "client-042"}, 50); err != nil || len(found) != 50 {
				b.Fatal(len(found), err)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	trail, err := audit.Open(audit.Options{Dir: filepath.Join(b.TempDir(), "audit"), Prints: io.Discard, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer trail.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		if err := busy(trail, random); err != nil {
			b.Fatal(err)
		}
	}
}
