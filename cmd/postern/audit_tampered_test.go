package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// trailOfFiles is a trail of several files, all but the last compressed.
func trailOfFiles(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	trail, err := audit.Open(audit.Options{Dir: dir, Prints: io.Discard, Now: time.Now, FileSize: 4000})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		if err := trail.ConnectionAccepted(audit.Connection{ID: fmt.Sprint(n), Client: "laptop"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// spoiled is a copy of a trail that somebody has been at.
type spoiled struct {
	t   *testing.T
	dir string
}

// file is the path of the nth file of records, or of the last for -1.
func (s spoiled) file(n int) string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "*.jsonl*"))
	if err != nil || len(files) < 4 {
		s.t.Fatalf("%q, %v", files, err)
	}
	return files[(n+len(files))%len(files)]
}

func (s spoiled) change(path string, change func([]byte) []byte) {
	s.t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(text), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// lines changes the lines of the last file, which is raw.
func (s spoiled) lines(change func([][]byte) [][]byte) {
	s.t.Helper()
	s.change(s.file(-1), func(text []byte) []byte {
		return bytes.Join(change(bytes.SplitAfter(text, []byte("\n"))), nil)
	})
}

func (s spoiled) remove(name string) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// swap exchanges two files.
func (s spoiled) swap(a, b string) {
	s.t.Helper()
	if err := errors.Join(os.Rename(a, a+".x"), os.Rename(b, a), os.Rename(a+".x", b)); err != nil {
		s.t.Fatal(err)
	}
}

// TestTamperedTrail spoils each kind of file of a copy, in each way, and has the
// command find it with the public key alone. What is needed for writing only is
// not missed in a copy.
func TestTamperedTrail(t *testing.T) {
	whole, other := trailOfFiles(t), trailOfFiles(t)
	key := filepath.Join(whole, "key.pub.pem")
	for name, c := range map[string]struct {
		spoil func(s spoiled)
		says  string // nothing where the trail is sound
	}{
		"nothing": {func(spoiled) {}, ""},
		"raw, changed": {func(s spoiled) {
			s.change(s.file(-1), func(b []byte) []byte { return bytes.Replace(b, []byte("laptop"), []byte("nobody"), 1) })
		}, "was changed"},
		"raw, removed record":     {func(s spoiled) { s.lines(func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) }) }, "is missing"},
		"raw, inserted record":    {func(s spoiled) { s.lines(func(l [][]byte) [][]byte { return slices.Insert(l, 1, l[0]) }) }, "was put in"},
		"raw, swapped records":    {func(s spoiled) { s.lines(func(l [][]byte) [][]byte { l[0], l[1] = l[1], l[0]; return l }) }, "is missing"},
		"raw, cut off":            {func(s spoiled) { s.lines(func(l [][]byte) [][]byte { return l[:1] }) }, "the end was cut off"},
		"raw, emptied":            {func(s spoiled) { s.change(s.file(-1), func([]byte) []byte { return nil }) }, "the end was cut off"},
		"compressed, one bit":     {func(s spoiled) { s.change(s.file(1), func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }, "record "},
		"compressed, cut off":     {func(s spoiled) { s.change(s.file(1), func(b []byte) []byte { return b[:len(b)/2] }) }, "record "},
		"compressed, garbage":     {func(s spoiled) { s.change(s.file(1), func([]byte) []byte { return []byte("garbage") }) }, "cannot be read"},
		"compressed, missing":     {func(s spoiled) { s.remove(filepath.Base(s.file(1))) }, "is missing"},
		"the first file, missing": {func(s spoiled) { s.remove(filepath.Base(s.file(0))) }, "the beginning was cut off"},
		"the last file, missing":  {func(s spoiled) { s.remove(filepath.Base(s.file(-1))) }, "the end was cut off"},
		"two files, swapped":      {func(s spoiled) { s.swap(s.file(1), s.file(2)) }, "is missing"},
		"a file of another trail": {func(s spoiled) {
			s.change(s.file(2), func([]byte) []byte { b, _ := os.ReadFile(spoiled{s.t, other}.file(2)); return b })
		}, "record "},
		"head, garbage": {func(s spoiled) { s.change(filepath.Join(s.dir, "head"), func([]byte) []byte { return []byte("{") }) }, "head: not a checkpoint"},
		"head, of another trail": {func(s spoiled) {
			s.change(filepath.Join(s.dir, "head"), func([]byte) []byte { b, _ := os.ReadFile(filepath.Join(other, "head")); return b })
		}, "is not signed by the key of this trail"},
		"head, changed": {func(s spoiled) {
			s.change(filepath.Join(s.dir, "head"), func(b []byte) []byte { return bytes.Replace(b, []byte(`"number":`), []byte(`"number":1`), 1) })
		}, "is not signed by the key of this trail"},
		"head, missing":             {func(s spoiled) { s.remove("head") }, ""},
		"lock, missing":             {func(s spoiled) { s.remove("lock") }, ""},
		"the secret key, missing":   {func(s spoiled) { s.remove("key.pem") }, ""},
		"the public key, another's": {func(s spoiled) { s.swap(filepath.Join(s.dir, "key.pub.pem"), filepath.Join(s.dir, "key.pem")) }, ""},
		"something else in the folder": {func(s spoiled) {
			s.change(s.file(0), func(b []byte) []byte { os.WriteFile(filepath.Join(s.dir, "notes.txt"), b, 0o600); return b })
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := spoiled{t, t.TempDir()}
			if err := os.CopyFS(s.dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			c.spoil(s)
			var out, errs bytes.Buffer
			status := execute([]string{"audit", "verify", "--dir", s.dir, "--key", key}, &out, &errs)
			said := out.String() + errs.String()
			switch {
			case c.says == "" && (status != 0 || !strings.Contains(said, "nothing was changed")):
				t.Errorf("a sound trail: status %d, %s", status, said)
			case c.says != "" && (status != 1 || !strings.Contains(said, c.says) || strings.Contains(said, "nothing was changed")):
				t.Errorf("status %d, want %q: %s", status, c.says, said)
			}
		})
	}
	// Another trail's key is not this one's.
	var out, errs bytes.Buffer
	if status := execute([]string{"audit", "verify", "--dir", whole, "--key", filepath.Join(other, "key.pub.pem")}, &out, &errs); status != 1 {
		t.Errorf("with another key: status %d, %s%s", status, out.String(), errs.String())
	}
}
