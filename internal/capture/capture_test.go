package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// corpus is where the result is kept.
const corpus = "../../policy/testdata/corpus"

// sampled is the distance between the calls that the tests really make.
const sampled = 40

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == standInName {
		os.Exit(standIn(os.Args[1:], os.Getenv(recordVariable), os.Stdin))
	}
	os.Exit(m.Run())
}

func TestRemoteWords(t *testing.T) {
	cases := map[string]struct {
		given string
		want  string
	}{
		"host only":           {"nas borg serve", "borg serve"},
		"login and port":      {"-l backup -p 22 nas rsync --server .", "rsync --server ."},
		"glued value":         {"-lbackup nas id", "id"},
		"flags":               {"-4 -A nas id", "id"},
		"flag before a value": {"-4p 22 nas id", "id"},
		"options of far side": {"nas rsync -l -p", "rsync -l -p"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := remoteWords(strings.Fields(c.given))
			if err != nil || strings.Join(got, " ") != c.want {
				t.Errorf("remoteWords(%q) = %q, %v; want %q", c.given, got, err, c.want)
			}
		})
	}
	if got, err := remoteWords([]string{"-4"}); err == nil {
		t.Errorf("remoteWords without a host = %q", got)
	}
}

func TestReadItemsStopsAtEmptyOne(t *testing.T) {
	got, err := readItems(strings.NewReader("rsync\x00.\x00a b\x00\x00more\x00"))
	if err != nil || !slices.Equal(got, []string{"rsync", ".", "a b"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := readItems(strings.NewReader("rsync\x00.")); err == nil {
		t.Error("input that ends in an item is accepted")
	}
}

func TestSplitLine(t *testing.T) {
	words, marks := splitLine(`-a "--x=a\tb c" z | push since=3.5.0` + "\n")
	if !slices.Equal(words, []string{"-a", "--x=a\tb c", "z"}) || !slices.Equal(marks, []string{"push", "since=3.5.0"}) {
		t.Errorf("got %q, %q", words, marks)
	}
}

func TestMissingOptionIsAnError(t *testing.T) {
	b := newTestBench(t)
	help := func(string) ([]string, error) { return []string{"--archive", "--brand-new"}, nil }
	err := b.checkComplete(installed(t, "rsync"), rsyncCalls(), help)
	if err == nil || !strings.Contains(err.Error(), "--brand-new") || strings.Contains(err.Error(), "--archive") {
		t.Errorf("got %v", err)
	}
}

func TestWrongVersionIsAnError(t *testing.T) {
	client := installed(t, "rsync")
	client.version = "1.0.0"
	if err := newTestBench(t).checkVersion("rsync", client); err == nil {
		t.Error("a binary of another version is accepted")
	}
}

// TestCorpusIsOfTheseTables holds that the kept result was made from the
// tables as they are now.
func TestCorpusIsOfTheseTables(t *testing.T) {
	for name, calls := range map[string]func() []call{"rsync": rsyncCalls, "borg": borgCalls} {
		files, err := filepath.Glob(filepath.Join(corpus, name+"-*.jsonl"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no result for %s: %v", name, err)
		}
		for _, file := range files {
			version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), name+"-"), ".jsonl")
			want := map[string]bool{}
			for _, c := range calls() {
				if !c.local && !c.newerThan(version) {
					want[c.direction+" "+strings.Join(c.argv, "\x00")] = true
				}
			}
			compareKeys(t, file, readCorpus(t, file), want)
		}
	}
}

func compareKeys(t *testing.T, file string, got map[string]line, want map[string]bool) {
	t.Helper()
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("%s has no line for %q; make it again", file, key)
		}
	}
	for key := range got {
		if !want[key] {
			t.Errorf("%s has a line that no table has: %q; make it again", file, key)
		}
	}
}

// TestSampleIsWhatClientsSend runs some calls with the clients of this host.
func TestSampleIsWhatClientsSend(t *testing.T) {
	for name, calls := range map[string]func() []call{"rsync": rsyncCalls, "borg": borgCalls} {
		t.Run(name, func(t *testing.T) {
			client := installed(t, name)
			file := filepath.Join(corpus, name+"-"+client.version+".jsonl")
			if _, err := os.Stat(file); err != nil {
				t.Skipf("nothing is kept of %s %s", name, client.version)
			}
			kept := readCorpus(t, file)
			var some []call
			for i, c := range calls() {
				if i%sampled == 0 && !c.newerThan(client.version) {
					some = append(some, c)
				}
			}
			lines, err := newTestBench(t).runAll(name, client, some)
			if err != nil || len(lines) == 0 {
				t.Fatalf("%d lines, %v", len(lines), err)
			}
			for _, l := range lines {
				want := kept[l.Direction+" "+strings.Join(l.Argv, "\x00")]
				if l.Exec != want.Exec || !slices.Equal(l.Secluded, want.Secluded) {
					t.Errorf("%q sends %q %q, kept is %q %q", l.Argv, l.Exec, l.Secluded, want.Exec, want.Secluded)
				}
			}
		})
	}
}

func newTestBench(t *testing.T) *bench {
	t.Helper()
	b, err := newBench()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.remove)
	return b
}

// installed returns the client of this host with the version that it says.
func installed(t *testing.T, name string) binary {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	said, err := exec.Command(path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(said)) {
		if word[0] >= '0' && word[0] <= '9' {
			return binary{word, path}
		}
	}
	t.Fatalf("%s --version says %q", path, said)
	return binary{}
}

// readCorpus returns the lines of a file by direction and words.
func readCorpus(t *testing.T, file string) map[string]line {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]line{}
	for text := range strings.Lines(string(content)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v in %q", file, err, text)
		}
		l = asText(l)
		lines[l.Direction+" "+strings.Join(l.Argv, "\x00")] = l
	}
	return lines
}

// asText undoes what render does with bytes.
func asText(l line) line {
	if l.ExecBase64 != nil {
		l.Exec = string(l.ExecBase64)
	}
	for _, raw := range l.ArgvBase64 {
		l.Argv = append(l.Argv, string(raw))
	}
	for _, raw := range l.SecludedBase64 {
		l.Secluded = append(l.Secluded, string(raw))
	}
	return l
}
