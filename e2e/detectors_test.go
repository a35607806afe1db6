package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDetectors shows that what the other tests rely on does notice: a process
// that was started, and a file that was touched.
func TestDetectors(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	w, _ := threatWorld(t)
	before, err := w.mark()
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, status, err := w.run("ssh", "k1", pull+". missing"); err != nil || status == 126 {
		t.Fatal(status, stderr, err)
	}
	if started, err := before.processStarted(w); err != nil || !started {
		t.Errorf("a process was started and nobody noticed: %v", err)
	}
	if err := before.nothingChanged(); err != nil {
		t.Error(err)
	}
	// A mode that is changed and changed back.
	for _, mode := range []os.FileMode{0o600, 0o644} {
		if err := os.Chmod(w.path("nas/k2/secret"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if before.nothingChanged() == nil {
		t.Error("a file was touched and nobody noticed")
	}
}

// TestSameTree changes one thing at a time and expects to be told of just that.
func TestSameTree(t *testing.T) {
	t.Parallel()
	for kind, change := range map[string]func(dir string) error{
		"size":     func(dir string) error { return os.WriteFile(dir+"/top", nil, 0o640) },
		"content":  func(dir string) error { return os.WriteFile(dir+"/top", []byte("this is pot\n"), 0o640) },
		"mode":     func(dir string) error { return os.Chmod(dir+"/top", 0o641) },
		"owner":    func(dir string) error { return os.Chown(dir+"/top", 1234, 0) },
		"mtime":    func(dir string) error { return setTime(dir+"/top", epoch.Add(time.Nanosecond)) },
		"dirmtime": func(dir string) error { return setTime(dir+"/docs", epoch.Add(time.Nanosecond)) },
		"xattr":    func(dir string) error { return unix.Setxattr(dir+"/top", "user.x", []byte("x"), 0) },
		"links": func(dir string) error {
			return errors.Join(os.Remove(dir+"/docs/notes.txt"), os.Link(dir+"/docs/report.txt", dir+"/docs/notes.txt"))
		},
		"target": func(dir string) error {
			return errors.Join(os.Remove(dir+"/dangling"), os.Symlink("elsewhere", dir+"/dangling"))
		},
		"type": func(dir string) error { return errors.Join(os.Remove(dir+"/top"), os.Mkdir(dir+"/top", 0o640)) },
		"only": func(dir string) error { return os.Remove(dir + "/top") },
	} {
		t.Run(kind, func(t *testing.T) {
			a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
			if err := makeTree("mixed", a); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("cp", "-a", a, b).CombinedOutput(); err != nil {
				t.Fatal(err, string(out))
			}
			if found, err := sameTree(a, b, nil, nil); err != nil || len(found) > 0 {
				t.Fatalf("a copy by cp differs: %q %v", found, err)
			}
			if err := change(b); err != nil {
				t.Fatal(err)
			}
			found, err := sameTree(a, b, nil, nil)
			if err != nil || !strings.Contains(strings.Join(found, "\n"), kind) {
				t.Errorf("a change of %s is not seen: %q %v", kind, found, err)
			}
		})
	}
}
