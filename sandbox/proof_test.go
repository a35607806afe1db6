package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Without confinement each attempt of the proof succeeds, and says so.
func TestProofSeesThatNothingHolds(t *testing.T) {
	for level, holes := range map[Level][]string{
		Namespaces: {"see the host's root", "see /proc", "change the mode of", "open a network socket", "write to"},
		Landlock:   {"list the root", "list /", "open a network socket", "write to"},
		Full:       {"see the host's root", "list the root"},
	} {
		t.Run(level.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "parent", "rule")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			o := Order{Paths: []Path{{Path: dir}}}
			seen, err := lookOutside(o, &view{})
			if err != nil {
				t.Fatal(err)
			}
			err = seen.prove(o, plan{Level: level})
			if !errors.Is(err, errOpen) {
				t.Fatalf("the proof succeeded: %v", err)
			}
			for _, hole := range holes {
				if !strings.Contains(err.Error(), "could "+hole) {
					t.Errorf("nobody saw that it could %s: %v", hole, err)
				}
			}
		})
	}
}

// A list that names a call twice, or a jump that is too far, would only show on
// the architecture that has it.
func TestFilterFitsTheKernel(t *testing.T) {
	for _, writable := range []bool{true, false} {
		if f := calls(held{writable: writable, uncut: true, grouped: true, self: 1}); len(f) > 4096 {
			t.Errorf("the filter has %d instructions, and the kernel takes 4096", len(f))
		}
	}
}

func TestMountsAreRestrictedOneByOne(t *testing.T) {
	if got := unescape(`/volume1/a\040b\134c`); got != `/volume1/a b\c` {
		t.Errorf("read %q", got)
	}
}

// What a program needs is found by what it says of itself.
func TestNeedsOfAScript(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ text, want string }{
		"by path":            {"#!/bin/sh\n", ""},
		"by env":             {"#!/usr/bin/env sh\n", ""},
		"of nothing":         {"#!\n", "names no interpreter"},
		"of what is missing": {"#!/none/python\n", "no such file"},
		"of what env lacks":  {"#!/usr/bin/env none-such\n", "no folder of the child's PATH"},
		"itself":             {"#!" + filepath.Join(dir, "itself") + "\n", ""},
		"no program":         {"text", "neither a script nor a binary"},
		"empty":              {"", "is no program"},
	} {
		path := write(name, c.text)
		v, err := needs(Order{Program: path, Env: []string{"PATH=/usr/bin:/bin"}})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case c.want == "" && v.execute[0] != path:
			t.Errorf("%s: runs %q", name, v.execute)
		}
	}
}

func TestFrozenProgramIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "borg")
	for text, want := range map[string]bool{
		"\x7fELF" + strings.Repeat("x", 20_000) + "MEI\014\013\012\013\016" + strings.Repeat("\x00", 80): true,
		"\x7fELF" + strings.Repeat("x", 20_000):                                                          false,
		"":                                                                                               false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := Frozen(path); got != want || err != nil {
			t.Errorf("%d bytes: %v, %v", len(text), got, err)
		}
	}
}
