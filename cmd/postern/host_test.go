package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"postern/configs"
	"postern/policy"
	"postern/registry"
	"postern/sandbox"
)

func TestHoles(t *testing.T) {
	const heap, decoder, audit = "3.4.0", "3.4.3", "3.5.0"
	for _, test := range []struct {
		program, version string
		want             []string // by the version that closed them
	}{
		{"rsync", "3.1.2", []string{heap, decoder, audit}},
		{"rsync", "3.2.7", []string{heap, decoder, audit}},
		{"rsync", "3.4.0", []string{decoder, audit}},
		{"rsync", "3.4.1pre1", []string{decoder, audit}},
		{"rsync", "3.4.3", []string{audit}},
		{"rsync", "3.5.0", nil},
		{"rsync", "3.10.0", nil},
		{"rsync", "4.0", nil},
		{"borg", "1.0.8", []string{"1.0.9", "1.2.5"}},
		{"borg", "1.0.13", []string{"1.2.5"}},
		{"borg", "1.1.2", []string{"1.1.3", "1.2.5"}},
		{"borg", "1.2.4", []string{"1.2.5"}},
		{"borg", "1.2.5", nil},
		{"borg", "1.4.1", nil},
		{"borg2", "2.0.0b14", nil},
	} {
		t.Run(test.program+" "+test.version, func(t *testing.T) {
			var got []string
			for _, h := range holesOf(test.program, test.version) {
				got = append(got, h.ClosedIn)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// program writes a script that answers --version.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAskVersion(t *testing.T) {
	for _, test := range []struct {
		name, script, want string
	}{
		{"rsync", `echo "rsync  version 3.2.7  protocol version 31"`, "3.2.7"},
		{"rsync with a v", `echo "rsync  version v3.2.3  protocol version 31"`, "3.2.3"},
		{"borg", `echo "borg 1.2.4"`, "1.2.4"},
		{"borg's binary", `echo "borg.exe 1.4.0"`, "1.4.0"},
		{"borg 2", `echo "borg 2.0.0b14"`, "2.0.0b14"},
		{"something else", `echo "GNU tar 1.34"`, ""},
		{"nothing", ``, ""},
		{"a failure", `echo "borg 1.2.4"; exit 1`, ""},
		{"no HOME of anybody", `echo "borg ${HOME:-1.2.4}"`, "1.2.4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := askVersion(t.Context(), program(t, test.script))
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestAskVersionOfOneThatHangs holds that a program that never answers, and what
// it started, does not keep the gateway from starting.
func TestAskVersionOfOneThatHangs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if version, err := askVersion(ctx, program(t, "sleep 600 & wait")); err == nil {
		t.Errorf("version %q", version)
	}
}

func TestFindTools(t *testing.T) {
	one, two := program(t, "echo borg 1.2.4"), program(t, "echo borg 2.0.0b14")
	found := findTools(t.Context(), configs.Programs{Rsync: program(t, "echo rsync version 3.5.0"), Borg: one, Borg2: two})
	host := found.host(&configs.Config{State: "/state", Programs: configs.Programs{Aliases: map[string][]string{"borg": {"b"}}}}, sandbox.Full)
	want := policy.Host{
		Rsync: policy.Program{Path: found.rsync.Path, Version: "3.5.0"},
		Borg:  policy.Program{Path: one, Version: "1.2.4", Aliases: []string{"b"}},
		Borg2: policy.Program{Path: two, Version: "2.0.0b14"},
		Home:  "/state/home",
	}
	if !slices.Equal(host.Borg.Aliases, want.Borg.Aliases) || host.Borg.Path != want.Borg.Path ||
		host.Borg2.Version != want.Borg2.Version || host.Rsync.Version != want.Rsync.Version || host.Home != want.Home {
		t.Errorf("got  %+v\nwant %+v", host, want)
	}
	mixed := findTools(t.Context(), configs.Programs{Borg: two})
	if mixed.borg.Problem == "" || mixed.host(&configs.Config{}, sandbox.Full).Borg.Installed() {
		t.Errorf("a borg 2 under programs.borg passes for borg 1: %+v", mixed.borg)
	}
	absent := findTools(t.Context(), configs.Programs{Borg: filepath.Join(t.TempDir(), "none")})
	if absent.borg.Problem == "" || absent.host(&configs.Config{}, sandbox.Full).Borg.Installed() {
		t.Errorf("a borg that is not there passes for one: %+v", absent.borg)
	}
}

func TestSharedPaths(t *testing.T) {
	client := func(name string, paths ...string) registry.Client {
		c := registry.Client{Name: name}
		for _, p := range paths {
			c.Rules = append(c.Rules, policy.Rule{Path: p, Where: name + ":" + p})
		}
		return c
	}
	for _, test := range []struct {
		name    string
		clients []registry.Client
		want    []string // the rules that reach into another client's
	}{
		{"apart", []registry.Client{client("a", "/v/a"), client("b", "/v/b")}, nil},
		{"the same", []registry.Client{client("a", "/v/a"), client("b", "/v/a")}, []string{"b:/v/a"}},
		{"one inside the other", []registry.Client{client("a", "/v/a/b"), client("b", "/v/a")}, []string{"a:/v/a/b"}},
		{"a prefix twin", []registry.Client{client("a", "/v/a"), client("b", "/v/a-evil", "/v/ab")}, nil},
		{"one client's own", []registry.Client{client("a", "/v/a", "/v/a/b")}, nil},
		{"below a twin in between", []registry.Client{client("a", "/v/a"), client("b", "/v/a-b", "/v/a/b")}, []string{"b:/v/a/b"}},
		{"two levels", []registry.Client{client("a", "/v"), client("b", "/v/b"), client("c", "/v/b/c")}, []string{"b:/v/b", "c:/v/b/c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, f := range checkSharedPaths(test.clients) {
				got = append(got, f.File)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestPopt holds that settings by which rsync would run another program are
// found (F12).
func TestPopt(t *testing.T) {
	folder := t.TempDir()
	file, drop := filepath.Join(folder, "popt"), filepath.Join(folder, "popt.d")
	if found := checkPopt(file, drop); len(found) != 0 {
		t.Errorf("nothing is there: %v", found)
	}
	if err := os.Mkdir(drop, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(drop, "rsync")} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if found := checkPopt(file, drop); count(found, isWarning) != 2 || count(found, isError) != 0 {
		t.Errorf("two files that only root can change: %v", found)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if found := checkPopt(file, drop); count(found, isError) != 1 {
		t.Errorf("one file that everybody can change: %v", found)
	}
}
