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

// What a command left that was killed goes, and nothing else: not what another works
// with, what only looks like it, or what a link leads to.
func TestRemoveLeftovers(t *testing.T) {
	folder := t.TempDir()
	inUse, err := newTemporary(filepath.Join(folder, "head"))
	if err != nil {
		t.Fatal(err)
	}
	defer inUse.Close()
	if err := os.Mkdir(filepath.Join(folder, "audit"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".head.123.tmp", "audit/.laptop.yaml.7.tmp", ".laptop.yaml.tmp", "laptop.yaml.1.tmp", ".laptop.yaml.1.tmp~"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("laptop.yaml.1.tmp", filepath.Join(folder, ".link.1.tmp")); err != nil {
		t.Fatal(err)
	}
	RemoveLeftovers(folder)
	want := []string{filepath.Base(inUse.Name()), ".laptop.yaml.1.tmp~", ".laptop.yaml.tmp", ".link.1.tmp", "audit", "laptop.yaml.1.tmp"}
	slices.Sort(want)
	if got := names(t, folder); !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	if got := names(t, filepath.Join(folder, "audit")); len(got) > 0 {
		t.Errorf("the folder below holds %q", got)
	}
}

// A gateway that starts takes nothing from commands that write just then.
func TestRemoveLeftoversBesideOthers(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "laptop.yaml")
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 50 {
				if err := Write(path, []byte("x"), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for {
		select {
		case <-done:
			if got := names(t, folder); !slices.Equal(got, []string{"laptop.yaml"}) {
				t.Errorf("folder holds %q", got)
			}
			return
		default:
			RemoveLeftovers(folder)
		}
	}
}
