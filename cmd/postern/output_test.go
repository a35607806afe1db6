package main

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"/volume1/Backups":    "/volume1/Backups",
		"naïve 日本":            "naïve 日本",
		"\x1b[2Jgone":         `"\x1b[2Jgone"`,
		"two\nlines":          `"two\nlines"`,
		"a\tb":                `"a\tb"`,
		"\xff":                `"\xff"`,
		"right\u202eto left":  `"right\u202eto left"`,
		"bell\a":              `"bell\a"`,
		"a\u009b2J C1 escape": `"a\u009b2J C1 escape"`,
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) is %s, want %s", in, got, want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"/a/b.yaml": "/a/b.yaml",
		"a b":       "'a b'",
		"it's":      `'it'\''s'`,
		"$(id)":     "'$(id)'",
		"":          "''",
		"é":         "'é'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) is %s, want %s", in, got, want)
		}
	}
}

func TestBytesInWords(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 bytes", 1023: "1023 bytes", 1024: "1KiB", 5 << 30: "5GiB", 1500: "1500 bytes", 3 << 40: "3TiB", 1 << 62: "4194304TiB",
	} {
		if got := bytesInWords(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestLogLevel(t *testing.T) {
	info, warn := `{"level":"info","message":"a"}`+"\n", `{"level":"warn","message":"b"}`+"\n"
	unclear := `{"message":"c","level":"debug"}` + "\n"
	for level, want := range map[string]string{
		"debug": info + warn + unclear,
		"info":  info + warn + unclear,
		"warn":  warn + unclear,
		"error": unclear, // what does not say its level first is never left out
	} {
		var out bytes.Buffer
		w := logWriter(&out, level)
		for _, record := range []string{info, warn, unclear} {
			if n, err := w.Write([]byte(record)); n != len(record) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		if out.String() != want {
			t.Errorf("%s: %q, want %q", level, out.String(), want)
		}
	}
}

// failingWriter stands for a disk that is full.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, fs.ErrInvalid }

// TestLogFailure holds that a record that cannot be written is an error, since
// nothing may happen without one.
func TestLogFailure(t *testing.T) {
	_, err := logWriter(failingWriter{}, "info").Write([]byte(`{"level":"info"}`))
	if !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}

// TestRemoteShell holds what the remote shell of explain understands of the
// arguments that rsync and borg give it.
func TestRemoteShell(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		in   string
		want sent
		fail bool
	}{
		{"rsync", []string{"nas", "rsync", "--server", ".", "x"}, "", sent{Exec: "rsync --server . x"}, false},
		{"rsync with a login", []string{"-l", "bob", "nas", "rsync", "--server"}, "", sent{Exec: "rsync --server", Login: "bob"}, false},
		{"borg", []string{"-p", "22", "bob@nas", "borg", "serve"}, "", sent{Exec: "borg serve", Login: "bob"}, false},
		{"secluded", []string{"nas", "rsync", "--server", "-s"}, "rsync\x00.\x00a b\x00\x00rest",
			sent{Exec: "rsync --server -s", Secluded: []string{"rsync", ".", "a b"}}, false},
		{"secluded, cut short", []string{"nas", "rsync", "--server", "-s"}, "rsync\x00.", sent{}, true},
		{"no command", []string{"nas"}, "", sent{}, true},
		{"nothing", nil, "", sent{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readSent(test.args, strings.NewReader(test.in))
			if (err != nil) != test.fail {
				t.Fatal(err)
			}
			if !test.fail && (got.Exec != test.want.Exec || got.Login != test.want.Login ||
				strings.Join(got.Secluded, "|") != strings.Join(test.want.Secluded, "|")) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
