package configs

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestProblemText(t *testing.T) {
	w := newWorld(t)
	w.client("laptop", "keys: ['"+goodKey+"']\nallow:\n\t \n  - rsync: /srv/a\n    acces: read-only # ü\x1b\n")
	w.client("laptop", "keys: ['"+goodKey+"']\nallow:\n  - rsync: /srv/a\n    acces: read-only # ü\n")
	w.write("clients.d/x.yml", "")
	_, err := w.load()
	want := `DIR/clients.d/laptop.yaml:4:5: unknown key "acces"
        acces: read-only # ü
        ^
  remedy: did you mean "access"?
DIR/clients.d/x.yml: files of clients end in ".yaml", not in ".yml"
  remedy: rename it to x.yaml`
	if err == nil || strings.ReplaceAll(err.Error(), w.folder, "DIR") != want {
		t.Errorf("problems\n%v, want\n%s", err, want)
	}
}

func TestProblemJSON(t *testing.T) {
	got, err := json.Marshal(Problems{
		{File: "/f", Line: 1, Column: 2, Message: "m", Excerpt: "e", Remedy: "r"}, {File: "/f", Message: "m", Remedy: "r"},
	})
	want := `[{"file":"/f","line":1,"column":2,"message":"m","excerpt":"e","remedy":"r"},{"file":"/f","message":"m","remedy":"r"}]`
	if err != nil || string(got) != want {
		t.Errorf("JSON %s, %v", got, err)
	}
}

func TestExcerpts(t *testing.T) {
	long := strings.Repeat("0123456789", 30)
	for _, test := range []struct {
		name, line string
		column     int
		want       string
	}{
		{"begin", "key: value", 1, "key: value\n^"},
		{"middle", "key: value", 6, "key: value\n     ^"},
		{"behind the end", "key", 9, "key\n   ^"},
		{"before the begin", "key", 0, "key\n^"},
		{"characters of several bytes", "ü: x", 4, "ü: x\n   ^"},
		{"tabs", "\tx", 2, " x\n ^"},
		{"what steers a terminal", "a\x1b[31mb\u202ec", 8, "a\ufffd[31mb\ufffdc\n       ^"},
		{"long, at the begin", long, 1, long[:100] + "...\n^"},
		{"long, in the middle", long, 101, "..." + long[70:170] + "...\n" + strings.Repeat(" ", 33) + "^"},
		{"long, at the end", long, 300, "..." + long[269:] + "\n" + strings.Repeat(" ", 33) + "^"},
	} {
		if got := excerpt(test.line, test.column); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

func TestShorten(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		strings.Repeat("x", maxShown):   strings.Repeat("x", maxShown),
		strings.Repeat("x", maxShown+1): strings.Repeat("x", maxShown) + "...",
		strings.Repeat("€", maxShown):   strings.Repeat("€", maxShown/3) + "...",
	} {
		if got := shorten(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
