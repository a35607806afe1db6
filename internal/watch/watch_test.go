package watch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"postern/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func told(t *testing.T, w *watch.Watcher, what string) {
	t.Helper()
	select {
	case <-w.Changed():
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing was told of: %s", what)
	}
}

func TestWatch(t *testing.T) {
	folder, other := t.TempDir(), t.TempDir()
	w := watch.New()
	defer w.Close()
	w.Watch(folder, filepath.Join(folder, "missing"))
	w.Changes()
	file := filepath.Join(folder, "laptop.yaml")
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"a new file", func() error { return os.WriteFile(file, []byte("a"), 0o600) }},
		{"a changed file", func() error { return os.WriteFile(file, []byte("b"), 0o600) }},
		{"a file in the place of another", func() error { return replace(file) }},
		{"a mode", func() error { return os.Chmod(file, 0o640) }},
		{"a removed file", func() error { return os.Remove(file) }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		told(t, w, step.what)
		if paths, all := w.Changes(); !all || !slices.Contains(paths, file) {
			t.Errorf("%s: %q, %t", step.what, paths, all)
		}
	}
	if paths, all := w.Changes(); !all || len(paths) > 0 {
		t.Errorf("nothing happened, but %q, %t", paths, all)
	}
	// A folder in the place of another is watched from the next call on.
	if err := os.Rename(folder, folder+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	w.Watch(folder, other)
	drain(w)
	if _, all := w.Changes(); all {
		t.Error("nothing can have been told of a folder before it was watched")
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told(t, w, "a file in the new folder")
	if err := os.WriteFile(filepath.Join(other, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told(t, w, "a file in another folder")
	if paths, all := w.Changes(); !all || !slices.Equal(paths, []string{file, filepath.Join(other, "x")}) {
		t.Errorf("%q, %t", paths, all)
	}
	for n := range 1100 {
		if err := os.Mkdir(filepath.Join(other, strconv.Itoa(n)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	drain(w)
	if _, all := w.Changes(); all {
		t.Error("more than is kept counts as all")
	}
}

// A folder over which another is mounted is not the one that is watched.
func TestMounts(t *testing.T) {
	folder, over := t.TempDir(), t.TempDir()
	w := watch.New()
	defer w.Close()
	w.Watch(folder)
	drain(w)
	w.Changes()
	if err := unix.Mount(over, folder, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("mounts need root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(folder, unix.MNT_DETACH) }) // which it is already where all went well
	told(t, w, "a mount")
	if _, all := w.Changes(); all {
		t.Error("what a mount changed is taken for known")
	}
	w.Watch(folder)
	if err := os.WriteFile(filepath.Join(folder, "laptop.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told(t, w, "a file in the mounted folder")
	if err := unix.Unmount(folder, 0); err != nil {
		t.Fatal(err)
	}
	told(t, w, "the end of a mount")
}

// replace does what editors do.
func replace(file string) error {
	if err := os.WriteFile(file+".new", []byte("c"), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func drain(w *watch.Watcher) {
	for {
		select {
		case <-w.Changed():
		case <-time.After(time.Second):
			return
		}
	}
}

// Many changes in a row are told at once, but not only once all are over.
func TestManyAtOnce(t *testing.T) {
	folder := t.TempDir()
	w := watch.New()
	defer w.Close()
	w.Watch(folder)
	count := 0
	for begun := time.Now(); time.Since(begun) < time.Second; {
		if err := os.WriteFile(filepath.Join(folder, "a"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.Changed():
			count++
		default:
		}
	}
	if count < 1 || count > 10 {
		t.Errorf("told %d times in a second of changes without a pause", count)
	}
}
