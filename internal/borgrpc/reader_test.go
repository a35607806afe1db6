package borgrpc

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// session runs borg commands against a borg serve whose input is recorded, and
// returns that for each.
func session(t *testing.T, commands ...string) [][]byte {
	t.Helper()
	borg, err := exec.LookPath("borg")
	if err != nil {
		t.Skip("needs borg, to hear what it sends")
	}
	folder := t.TempDir()
	shell, stream := filepath.Join(folder, "shell"), filepath.Join(folder, "stream")
	source := filepath.Join(folder, "source")
	err = os.WriteFile(shell, []byte("#!/bin/sh\ntee "+stream+" | "+borg+" serve --umask=077\n"), 0o700)
	if err == nil {
		err = os.Mkdir(source, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(source, "file"), bytes.Repeat([]byte("data to be kept, \x00\xff\n"), 100_000), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var streams [][]byte
	for _, command := range commands {
		cmd := exec.Command(borg, strings.Fields(strings.ReplaceAll(command, "SOURCE", source))...)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "BORG_RSH=" + shell, "BORG_BASE_DIR=" + folder, "BORG_REPO=ssh://nas" + folder + "/repo", "LANG=C.UTF-8",
			"BORG_SELFTEST=disabled", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes", "BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("borg %s: %v\n%s", command, err, out)
		}
		data, err := os.ReadFile(stream)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, data)
	}
	return streams
}

// counted reads a stream in pieces of a size.
func counted(stream []byte, piece int) Counts {
	var r Reader
	for len(stream) > 0 {
		n := min(piece, len(stream))
		r.Write(stream[:n])
		stream = stream[n:]
	}
	return r.Counts()
}

// TestWhatBorgSends holds the counts of real sessions, whatever the pieces are in
// which their data comes.
func TestWhatBorgSends(t *testing.T) {
	streams := session(t, "init -e none", "create --compression none ::one SOURCE", "list", "delete ::one", "compact", "check --repair", "break-lock")
	wants := []func(Repository) bool{
		func(r Repository) bool { return r.Create && r.Methods["put"] == 1 && r.Methods["commit"] > 0 },
		func(r Repository) bool {
			return !r.Create && r.Methods["put"] > 2 && r.Put > 10_000 && r.Methods["commit"] > 0 && r.Methods["delete"] == 0
		},
		func(r Repository) bool {
			return r.Methods["put"] == 0 && r.Methods["commit"] == 0 && r.Methods["get"] > 0
		},
		func(r Repository) bool { return r.Methods["delete"] > 0 && r.Methods["commit"] > 0 },
		func(r Repository) bool { return r.Methods["commit"] > 0 && r.Methods["put"] < 2 }, // the manifest alone
		func(r Repository) bool { return r.Methods["check"] > 0 },
		func(r Repository) bool { return r.Methods["break_lock"] == 1 },
	}
	for i, stream := range streams {
		whole := counted(stream, len(stream))
		if whole.Stopped != "" || len(whole.Repositories) != 1 || !wants[i](whole.Repositories[0]) || !strings.HasSuffix(whole.Repositories[0].Path, "/repo") {
			t.Errorf("session %d: %+v", i, whole)
		}
		for _, piece := range []int{1, 2, 7, 4096} {
			if got := counted(stream, piece); !reflect.DeepEqual(got, whole) {
				t.Errorf("session %d in pieces of %d: %+v, want %+v", i, piece, got, whole)
			}
		}
	}
}

// The messages of borg 1.0: [1, number, method, arguments].
func TestOldMessages(t *testing.T) {
	stream := "\x94\x01\x01\xa9negotiate\x91\x02" +
		"\x94\x01\x02\xa4open\x94\xa5/repo\xc3\x01\xc3" +
		"\x94\x01\x03\xa3put\x92\xa2id\xa4data" +
		"\x94\x01\x04\xa6commit\x91\xc2"
	got := counted([]byte(stream), 3)
	want := Counts{Repositories: []Repository{{Path: "/repo", Create: true, Put: 4, Methods: map[string]int64{"open": 1, "put": 1, "commit": 1}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// What borg does not send makes the reader stop, and keep what it had.
func TestWhatBorgDoesNotSend(t *testing.T) {
	open := "\x83\xa1i\x01\xa1m\xa4open\xa1a\x81\xa4path\xa2/r"
	for name, stream := range map[string]string{
		"a number":          open + "\x01",
		"an extension":      open + "\xc7\x00\x00",
		"a reserved byte":   open + "\xc1",
		"another method":    open + "\x82\xa1m\xa4evil\xa1a\x80",
		"no method":         open + "\x80",
		"a deep message":    open + "\x81\xa1a" + strings.Repeat("\x91", 40),
		"many repositories": strings.Repeat(open, 40),
	} {
		got := counted([]byte(stream), 5)
		if got.Stopped == "" || len(got.Repositories) == 0 || got.Repositories[0].Path != "/r" || len(got.Repositories) > maxRepositories {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := counted(bytes.Repeat([]byte("\x82\xa1m\xa9negotiate\xa1a\x80"), 100_000), 1<<16); got.Stopped == "" {
		t.Errorf("no repository: %+v", got)
	}
}

// A length that is never reached, and names that never end, take no memory.
func TestNothingIsKept(t *testing.T) {
	var r Reader
	r.Write([]byte("\x83\xa1i\x01\xa1m\xa4open\xa1a\x81\xa4path\xdb\xff\xff\xff\xff"))
	piece := make([]byte, 1<<20)
	for range 100 {
		r.Write(piece)
	}
	if kept := cap(r.values.text) + cap(r.values.head); kept > 4*maxText {
		t.Errorf("%d bytes are kept", kept)
	}
}

// FuzzReader holds that pieces do not matter, and that nothing a client sends
// does more than stop the reader.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x83\xa1i\x01\xa1m\xa4open\xa1a\x82\xa4path\xa2/r\xa6create\xc3"), 3)
	f.Add([]byte("\x94\x01\x03\xa3put\x92\xa2id\xa4data"), 1)
	f.Add([]byte("\xdd\x00\x00\x00\x01\xdf\x00\x00\x00\x01\xca\x00\x00\x00\x00\xcb"), 2)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		whole, pieces := counted(stream, max(len(stream), 1)), counted(stream, piece)
		if !reflect.DeepEqual(whole, pieces) {
			t.Errorf("%+v, in pieces %+v", whole, pieces)
		}
	})
}
