package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"postern/audit"
)

// onSmallDisk is a trail on a disk of 8 MiB.
func onSmallDisk(t *testing.T, prints *bytes.Buffer) *keeping {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	k := keep(t, func(o *audit.Options) { o.Dir, o.Prints = filepath.Join(disk, "audit"), prints })
	k.dir = k.o.Dir
	return k
}

// The reserve for what has begun outlives midnight on a full disk, and what could
// not be recorded is counted when there is room again.
func TestFullDiskOverMidnight(t *testing.T) {
	var prints bytes.Buffer
	k := onSmallDisk(t, &prints)
	k.session(1)
	ballast := filepath.Join(filepath.Dir(k.dir), "ballast")
	fill(t, ballast)
	refused := 0
	for range 5 {
		k.wait(day)
		fill(t, ballast+"2")
		for range 3 {
			if err := k.trail.SessionDecided(from, audit.Decision{Session: "c1.1", Verdict: "allow"}); !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("with a full disk: %v", err)
			}
			refused++
		}
		if err := k.trail.SessionEnded(from, audit.End{Session: "c1.1", Why: "the program ended"}); err != nil {
			t.Fatalf("a session that had begun ends without a record: %v", err)
		}
		k.sound()
	}
	if n := bytes.Count(prints.Bytes(), []byte(`"message":"trail failed"`)); n != 1 {
		t.Errorf("the operator was told %d times", n)
	}
	for _, path := range []string{ballast, ballast + "2"} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	k.session(2)
	resumed, err := audit.Newest(k.dir, audit.Query{Event: "trail resumed"}, 10)
	if err != nil || len(resumed) != 1 {
		t.Fatalf("%d records, %v", len(resumed), err)
	}
	var told struct{ Failed int }
	if err := json.Unmarshal(resumed[0].Line, &told); err != nil || told.Failed != refused {
		t.Errorf("%s: want %d, %v", resumed[0].Line, refused, err)
	}
	k.close()
	k.sound()
}

// Where the trail cannot be written at all, the ends come when it can.
func TestEndsAreOwed(t *testing.T) {
	k := keep(t)
	running := from
	if err := k.trail.SessionDecided(running, audit.Decision{Session: "c1.1", Verdict: "allow"}); err != nil {
		t.Fatal(err)
	}
	unwritable(t, func() {
		if err := k.trail.SessionEnded(running, audit.End{Session: "c1.1"}); err == nil {
			t.Error("recorded, though nothing could be")
		}
		if err := k.trail.SessionDecided(from, audit.Decision{Session: "c1.2", Verdict: "allow"}); err == nil {
			t.Error("a session began, though nothing could be recorded")
		}
	})
	k.session(3)
	k.close()
	k.sound()
	if ends := k.ends(); len(ends) != 2 || ends["c1.1"] != "seen" {
		t.Errorf("%v", ends)
	}
}

// A disk that is full when the gateway starts is an error, and harms nothing.
func TestFullDiskAtTheStart(t *testing.T) {
	var prints bytes.Buffer
	k := onSmallDisk(t, &prints)
	k.session(1)
	k.close()
	ballast := filepath.Join(filepath.Dir(k.dir), "ballast")
	fill(t, ballast)
	for range 3 {
		if trail, err := audit.Open(k.o); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("opened: %v", errors.Join(err, trail.Close()))
		}
		k.wait(day)
	}
	k.sound()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	k.open()
	k.session(2)
	k.close()
	k.sound()
}

// People remove a lock that seems to be left over.
func TestTrailIsWrittenByOneWithoutItsLock(t *testing.T) {
	k := keep(t)
	k.session(1)
	remove(t, k, "lock")
	if second, err := audit.Open(k.o); !errors.Is(err, audit.ErrInUse) {
		t.Errorf("opened twice: %v", errors.Join(err, second.Close()))
	}
	k.session(2)
	k.close()
	k.sound()
}

// unwritable runs f while no file of this process may grow.
func unwritable(t *testing.T, f func()) {
	t.Helper()
	signal.Ignore(unix.SIGXFSZ)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
