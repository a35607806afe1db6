package sandbox_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// What a killed gateway left goes, and nothing else: not what is in use, what is
// another user's, or what a link leads to.
func TestRemoveLeftovers(t *testing.T) {
	base := t.TempDir()
	t.Setenv("TMPDIR", base)
	inUse, remove, err := sandbox.LogPlace(sandbox.Landlock)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(base, name) }
	for _, folder := range []string{"postern-log-1", "postern-probe-2", "postern-log-others", "elsewhere", "elsewhere/kept", "postern-other-3"} {
		if err := os.Mkdir(at(folder), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(at("postern-log-1/log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", at("postern-log-link")); err != nil {
		t.Fatal(err)
	}
	kept := []string{"elsewhere/kept", "postern-log-link", "postern-other-3"}
	if os.Geteuid() == 0 {
		if err := os.Chown(at("postern-log-others"), 34, 34); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, "postern-log-others")
	}
	sandbox.RemoveLeftovers()
	for _, name := range []string{"postern-log-1", "postern-probe-2"} {
		if _, err := os.Lstat(at(name)); !os.IsNotExist(err) {
			t.Errorf("%s stayed: %v", name, err)
		}
	}
	for _, name := range kept {
		if _, err := os.Lstat(at(name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(filepath.Dir(inUse)); err != nil {
		t.Error(err)
	}
	remove()
	if _, err := os.Lstat(filepath.Dir(inUse)); !os.IsNotExist(err) {
		t.Errorf("a log that nobody needs stayed: %v", err)
	}
}

// A gateway that starts takes nothing from one that makes its logs just then.
func TestRemoveLeftoversBesideOthers(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var makers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		makers.Go(func() {
			for range 200 {
				path, remove, err := sandbox.LogPlace(sandbox.None)
				if err != nil {
					t.Error(err)
					return
				}
				if err := unix.Mkfifo(path, 0o600); err != nil {
					t.Error(err)
				}
				remove()
			}
		})
	}
	go func() { makers.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
			sandbox.RemoveLeftovers()
		}
	}
}
