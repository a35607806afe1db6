package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/policy"
)

// corpusFiles are what testdata/corpus must hold. A file that is missing, or
// has fewer lines, fails: a test over nothing proves nothing.
var corpusFiles = map[string]int{
	"rsync-3.5.0.jsonl": 3000,
	"rsync-3.2.7.jsonl": 3000,
	"borg-1.2.4.jsonl":  100,
	"older.jsonl":       100,
}

// corpusLine is one line of the corpus; its README says what the members mean.
type corpusLine struct {
	Client         string
	Argv           []string
	ArgvBase64     [][]byte `json:"argv_base64"`
	Direction      policy.Direction
	Exec           string
	ExecBase64     []byte `json:"exec_base64"`
	Secluded       []string
	SecludedBase64 [][]byte `json:"secluded_base64"`
	Source         string
}

// TestCorpusDecisions holds every command line of stock clients, in every mode
// of a rule, against the truth table of corpus_truth_test.go.
func TestCorpusDecisions(t *testing.T) {
	for file, least := range corpusFiles {
		lines := readCorpus(t, file)
		if len(lines) < least {
			t.Errorf("%s has %d lines, at least %d are expected", file, len(lines), least)
		}
		for _, m := range corpusModes() {
			t.Run(file+"/"+m.name, func(t *testing.T) {
				for _, l := range lines {
					checkLine(t, l, m)
				}
			})
		}
	}
}

// TestCorpusIsListed fails when a file of the corpus is not tested.
func TestCorpusIsListed(t *testing.T) {
	found, err := filepath.Glob("testdata/corpus/*.jsonl")
	if err != nil || len(found) != len(corpusFiles) {
		t.Errorf("testdata/corpus holds %q (%v), the test reads %d files", found, err, len(corpusFiles))
	}
}

// TestCorpusTableIsUsed fails when the truth table has an option that no client
// of the corpus sends: a slip of the pen would hide there.
func TestCorpusTableIsUsed(t *testing.T) {
	var sent strings.Builder
	for file := range corpusFiles {
		for _, l := range readCorpus(t, file) {
			sent.WriteString(" " + l.Exec + " " + strings.Join(l.Secluded, " "))
		}
	}
	for spelling := range longTruth {
		if !strings.Contains(sent.String(), " "+spelling) {
			t.Errorf("no client sends %s", spelling)
		}
	}
}

func checkLine(t *testing.T, l corpusLine, m corpusMode) {
	t.Helper()
	want := expect(l, m)
	got := decideLine(l, m)
	if got.Verdict != want.verdict {
		t.Errorf("%s: %q sends %q %q\n\tgot %s (%v), want %s: %s",
			l.Client, l.Argv, l.Exec, l.Secluded, got.Verdict, got.Refusal, want.verdict, want.why)
		return
	}
	if got.Verdict == policy.Allow {
		checkChild(t, l, m, got)
		checkRsyncChild(t, l, m, got, want.targets)
		return
	}
	if got.Refusal == nil || got.Refusal.Status < 1 || got.Refusal.Status > 254 || got.Refusal.Error() == "" || len(got.Args) > 0 {
		t.Errorf("%q: a refusal without a line or a status, or with a child: %+v", l.Exec, got)
	}
}

// decideLine does what the gateway does with an exec string.
func decideLine(l corpusLine, m corpusMode) policy.Decision {
	request, refusal := policy.Parse(l.Exec)
	if refusal == nil && request.Secluded() {
		request, refusal = request.WithArguments(l.Secluded)
	}
	if refusal != nil {
		return policy.Decision{Refusal: refusal}
	}
	return policy.Decide(m.rules, m.host, request, m.tree)
}

// checkChild asserts what holds for every child, whatever the client sent.
func checkChild(t *testing.T, l corpusLine, m corpusMode, d policy.Decision) {
	t.Helper()
	if d.Direction != l.Direction {
		t.Errorf("%q is a %s, decided as %s", l.Argv, l.Direction, d.Direction)
	}
	if !slices.Contains([]string{m.host.Rsync.Path, m.host.Borg.Path, m.host.Borg2.Path}, d.Program) {
		t.Errorf("%q starts %q, which is not configured", l.Exec, d.Program)
	}
	if slices.Contains(d.Env, "HOME="+d.Dir) || !slices.Contains(d.Env, "HOME="+m.host.Home) {
		t.Errorf("%q: the child's environment is %q", l.Exec, d.Env)
	}
}

// checkRsyncChild asserts what holds for every rsync: paths behind a dash and a
// dot, those that the client named and no other, and our options behind the
// client's.
func checkRsyncChild(t *testing.T, l corpusLine, m corpusMode, d policy.Decision, targets []string) {
	t.Helper()
	if d.Tool != policy.Rsync {
		return
	}
	end := slices.Index(d.Args, "--")
	if end < 0 || end+1 >= len(d.Args) || d.Args[end+1] != "." {
		t.Fatalf("%q: no \"-- .\" before the paths in %q", l.Exec, d.Args)
	}
	var told []string
	for _, arg := range d.Args[end+2:] {
		if !path.IsAbs(arg) {
			arg = path.Join(d.Dir, arg)
		}
		told = append(told, path.Clean(arg))
	}
	if slices.ContainsFunc(told, func(p string) bool { return !within(laptop, p) }) {
		t.Errorf("%q: the child gets a path outside the rule: %q", l.Exec, d.Args)
	}
	if targets != nil && !slices.Equal(told, targets) {
		t.Errorf("%q: the child works on %q, the client named %q", l.Argv, told, targets)
	}
	if slices.ContainsFunc(d.Args[1:end], isSecludedCluster) {
		t.Errorf("%q: the child would read arguments from its input: %q", l.Exec, d.Args)
	}
	ours := []string{"--confine-root=" + laptop}
	if d.Direction == policy.Push {
		ours = append(ours, "--drop-D")
	}
	if d.Direction == policy.Push && !m.rsync.Overwrite {
		ours = append(ours, "--ignore-existing")
	}
	for _, option := range ours {
		if !slices.Contains(d.Args[1:end], option) {
			t.Errorf("%q: the child lacks %s: %q", l.Exec, option, d.Args)
		}
	}
}

// isSecludedCluster reports whether the argument holds the short option s.
func isSecludedCluster(arg string) bool {
	letters, _, _ := strings.Cut(arg, "e")
	return len(arg) > 1 && arg[0] == '-' && arg[1] != '-' && strings.Contains(letters, "s")
}

func readCorpus(t *testing.T, file string) []corpusLine {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "corpus", file))
	if err != nil {
		t.Fatal(err)
	}
	var lines []corpusLine
	for text := range strings.Lines(string(content)) {
		var l corpusLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s:%d: %v", file, len(lines)+1, err)
		}
		if l.ExecBase64 != nil {
			l.Exec = string(l.ExecBase64)
		}
		l.Argv = append(l.Argv, texts(l.ArgvBase64)...)
		l.Secluded = append(l.Secluded, texts(l.SecludedBase64)...)
		if l.Exec == "" || len(l.Argv) == 0 || l.Direction == "" || file == "older.jsonl" && l.Source == "" {
			t.Fatalf("%s:%d lacks a member: %s", file, len(lines)+1, text)
		}
		lines = append(lines, l)
	}
	return lines
}

func texts(raw [][]byte) []string {
	words := make([]string, len(raw))
	for i, word := range raw {
		words[i] = string(word)
	}
	return words
}

// laptop is the rule's path in every mode, laptopBorg that of the rule for borg.
const (
	laptop     = "/volume1/Backups/laptop"
	laptopBorg = "/volume1/Backups/laptop.borg"
)

// corpusMode is one way in which a client can be limited.
type corpusMode struct {
	name string
	// rsync and borg are the two rules.
	rsync, borg policy.Rule
	rules       []policy.Rule
	host        policy.Host
	tree        policy.Tree
}

// corpusModes are the modes that a rule can have, on a host that confines its
// children, and read-write once more on one that
// has Landlock alone, and on one that does not.
func corpusModes() []corpusMode {
	mode := func(name string, change func(*policy.Rule)) corpusMode {
		m := corpusMode{
			name:  name,
			rsync: policy.Rule{Tool: policy.Rsync, Path: laptop, Access: policy.ReadWrite, Delete: true, Overwrite: true},
			borg:  policy.Rule{Tool: policy.Borg, Path: laptopBorg, Access: policy.ReadWrite},
			host: policy.Host{
				Rsync: policy.Program{Path: "/usr/bin/rsync", Version: "3.5.0"},
				Borg:  policy.Program{Path: "/usr/bin/borg", Version: "1.2.4"},
				Borg2: policy.Program{Path: "/opt/borg2/bin/borg", Version: "2.0.0"},
				Home:  "/nonexistent",
				Hold:  policy.Everything,
				User:  policy.User{UID: 1000, GID: 1000},
			},
			tree: corpusTree{},
		}
		change(&m.rsync)
		m.borg.Access = m.rsync.Access
		m.rules = []policy.Rule{m.rsync, m.borg}
		return m
	}
	open := mode("unconfined", func(*policy.Rule) {})
	open.host.Hold = policy.Unheld
	half := mode("landlock", func(*policy.Rule) {})
	half.host.Hold = policy.Contents
	return []corpusMode{
		mode("read-write", func(*policy.Rule) {}),
		mode("read-only", func(r *policy.Rule) { r.Access = policy.ReadOnly }),
		mode("write-only", func(r *policy.Rule) { r.Access = policy.WriteOnly }),
		mode("delete-false", func(r *policy.Rule) { r.Delete = false }),
		mode("overwrite-false", func(r *policy.Rule) { r.Overwrite = false }),
		mode("rooted", func(r *policy.Rule) { r.Rooted = true }),
		half,
		open,
	}
}

// corpusTree is a folder with a few backups in it and no symbolic links.
type corpusTree struct{}

func (corpusTree) entries() []string {
	return []string{"2024-01-01", "2024-01-02", "dst", "src", "yesterday"}
}

func (t corpusTree) IsDir(p string) bool {
	return p == laptop || p == laptopBorg || path.Dir(p) == laptop && slices.Contains(t.entries(), path.Base(p))
}

func (t corpusTree) Exists(p string) bool { return t.IsDir(p) }

func (t corpusTree) Names(folder string) []string {
	if folder != laptop {
		return nil
	}
	return t.entries()
}

func (corpusTree) Escapes(root, p string, _ bool) bool {
	if !within(root, p) {
		panic(fmt.Sprintf("asked for %q, which is not in %q", p, root))
	}
	return false
}

func (corpusTree) StrayLink(string) string { return "" }

func (corpusTree) Owner(string) (policy.User, bool) { return policy.User{UID: 1026, GID: 100}, true }

func (corpusTree) Free(string) (int64, bool) { return 1 << 40, true }

// within reports whether p is root or below it.
func within(root, p string) bool { return p == root || strings.HasPrefix(p, root+"/") }
