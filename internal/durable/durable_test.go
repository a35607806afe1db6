package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// names lists the folder: nothing temporary may stay.
func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func wantFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != content || info.Mode() != mode {
		t.Errorf("%s holds %q with mode %v, want %q with mode %v", path, data, info.Mode(), content, mode)
	}
}

func TestCreate(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "laptop.yaml")
	if err := Create(path, []byte("one"), 0o604); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "one", 0o604)
	if err := Create(path, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second create gave %v", err)
	}
	wantFile(t, path, "one", 0o604)
	if got := names(t, folder); !slices.Equal(got, []string{"laptop.yaml"}) {
		t.Errorf("folder holds %q", got)
	}
}

func TestCreateOfManyHasOneWinner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "laptop.yaml")
	won := make(chan string, 8)
	var writers sync.WaitGroup
	for _, content := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		writers.Go(func() {
			switch err := Create(path, []byte(content), 0o600); {
			case err == nil:
				won <- content
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if len(won) != 1 {
		t.Fatalf("%d winners", len(won))
	}
	wantFile(t, path, <-won, 0o600)
}

func TestCreateDoesNotWriteThroughSymlink(t *testing.T) {
	folder := t.TempDir()
	target, link := filepath.Join(folder, "target"), filepath.Join(folder, "link")
	if err := os.WriteFile(target, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := Create(link, []byte("evil"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v", err)
	}
	if err := Replace(link, []byte("new")); err != nil {
		t.Error(err)
	}
	wantFile(t, target, "kept", 0o600)
}

func TestRelativePathStaysInItsFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	if err := Create("laptop.yaml", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFile(t, "laptop.yaml", "one", 0o600)
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "laptop.yaml")
	if err := Replace(path, []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("replacing nothing gave %v", err)
	}
	if err := Create(path, []byte("one"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "two", 0o640)
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "head")
	for _, content := range []string{"one", "two"} {
		if err := Write(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, content, 0o640)
	}
	if err := Write(filepath.Join(path, "x"), nil, 0o600); err == nil {
		t.Error("wrote a file in a file")
	}
}

func TestRemove(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "laptop.yaml")
	if err := Create(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := names(t, folder); len(got) != 0 {
		t.Errorf("folder holds %q", got)
	}
	if err := Remove(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing nothing gave %v", err)
	}
}

func TestMkdir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.d")
	if err := Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeDir|0o777 {
		t.Errorf("folder %v, error %v", info, err)
	}
	if err := Mkdir(path, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second folder gave %v", err)
	}
}

func TestNoFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "laptop.yaml")
	for name, change := range map[string]func() error{
		"create": func() error { return Create(path, nil, 0o600) },
		"mkdir":  func() error { return Mkdir(path, 0o700) },
		"sync":   func() error { return SyncFolder(filepath.Dir(path)) },
	} {
		if err := change(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s gave %v", name, err)
		}
	}
}

func TestFailedPublishLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	failure := errors.New("disk on fire")
	publish := func(string, string) error { return failure }
	if err := put(filepath.Join(folder, "x"), nil, 0o600, owner{}, publish); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if got := names(t, folder); len(got) != 0 {
		t.Errorf("folder holds %q", got)
	}
}

func TestNoReplace(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "from"), filepath.Join(folder, "to")
	for _, path := range []string{from, to} {
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := noReplace(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("renaming onto a file gave %v", err)
	}
	wantFile(t, to, to, 0o600)
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	if err := noReplace(from, to); err != nil {
		t.Fatal(err)
	}
	wantFile(t, to, from, 0o600)
}

func TestRootKeepsOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can give files away")
	}
	const gateway = 4711
	folder := t.TempDir()
	if err := os.Chown(folder, gateway, gateway); err != nil {
		t.Fatal(err)
	}
	file, sub := filepath.Join(folder, "file"), filepath.Join(folder, "sub")
	if err := errors.Join(Create(file, nil, 0o600), Mkdir(sub, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, gateway+1, 0); err != nil {
		t.Fatal(err)
	}
	if err := Replace(file, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]owner{sub: {gateway, gateway}, file: {gateway + 1, 0}} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := ownerOf(info); got != want {
			t.Errorf("%s belongs to %v, want %v", path, got, want)
		}
	}
}
