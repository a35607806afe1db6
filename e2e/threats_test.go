package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// threat is one row of an attacker's list: what is sent in the place of a
// command, and what must come of it.
type threat struct {
	row, class string
	host       string // the client that sends it; empty means k1
	exec       string
	// want is what must happen. See [outcome].
	want outcome
	// status is that of a refusal; zero means 126.
	status int
	// says must stand in what the client reads.
	says string
	// silent is a client that does not send on standard input what it promised;
	// explain takes it for having sent nothing.
	silent bool
	// touches is a folder of which the time may change.
	touches string
	// without must not stand in the child's arguments, with must.
	without, with []string
}

// outcome is what becomes of an attack.
type outcome int

const (
	// denied: one line, exit status 126, no process, nothing changed.
	denied outcome = iota
	// harmless: it runs, with arguments that the gateway built, and changes
	// nothing.
	harmless
	// answered: the gateway itself answers; no process, nothing changed.
	answered
)

// threatWorld has a client for each kind of rule, and something worth stealing
// beside them.
//
//	k1     rsync and borg, everything allowed; k2 is its neighbour
//	ro, wo read-only, write-only; nodel, nover without deletion, overwriting
//	root   rooted; append an append-only borg
func threatWorld(t *testing.T) (*world, *postern) {
	t.Helper()
	w := newTestWorld(t, atFull)
	for path, content := range map[string]string{
		"nas/k1/x": "mine", "nas/k1/d/y": "mine", "nas/k1/prev/x": "mine", "nas/k1-evil/x": "not mine", "nas/k2/secret": "not mine",
		"nas/ro/x": "r", "nas/ro/d/y": "r", "nas/wo/d/x": "w", "nas/nodel/d/x": "n", "nas/nover/d/x": "n", "nas/root/x": "v",
	} {
		if err := write(w.path(path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"nas/k1/a": "../k2", "nas/k1/loop": "loop", "nas/k1/magic": "/proc/self/root"} {
		if err := os.Symlink(target, w.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []string{
		"k1 rsync:nas/k1 borg:nas/k1/repo", "ro rsync:nas/ro,access=read-only", "wo rsync:nas/wo,access=write-only",
		"nodel rsync:nas/nodel,delete=false", "nover rsync:nas/nover,overwrite=false", "root rsync:nas/root,rooted=true",
		"append borg:nas/append,append_only=true,quota=20MiB",
	} {
		if _, err := w.addClient(strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	return w, w.server.(*postern)
}

// TestThreats sends each row of the list through a stock ssh.
func TestThreats(t *testing.T) {
	if onlyBaseline() {
		return
	}
	for name, rows := range map[string][]threat{
		"commands": commandThreats(), "options": optionThreats(), "paths": pathThreats(),
		"environment": environmentThreats(), "borg": borgThreats(), "modes": modeThreats(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p := threatWorld(t)
			for _, row := range rows {
				t.Run(row.row+" "+row.class, func(t *testing.T) { row.run(t, w, p) })
			}
		})
	}
}

// run sends the row and holds what came of it against what must.
func (row threat) run(t *testing.T, w *world, p *postern) {
	before, err := w.mark()
	if err != nil {
		t.Fatal(err)
	}
	host := row.host
	if host == "" {
		host = "k1"
	}
	command := strings.NewReplacer("{nas}", w.path("nas"), "{outside}", w.path("outside"), "{gw}", w.path("gw")).Replace(row.exec)
	stdout, stderr, status, err := w.run("ssh", host, command)
	if err != nil {
		t.Fatal(err)
	}
	seen := fmt.Sprintf("ssh %s %q ended with status %d\nstdout: %q\nstderr: %q", host, command, status, stdout, stderr)
	record := decided(t, p, before.lines)
	switch row.want {
	case denied:
		row.checkDenied(t, before, w, status, stderr, seen)
	case answered:
		if err := before.nothingHappened(w); err != nil {
			t.Errorf("%v\n%s", err, seen)
		}
	case harmless:
		if err := before.nothingChangedBut(w.path(row.touches)); err != nil {
			t.Errorf("%v\n%s", err, seen)
		}
	}
	if told := w.explain(t, host, command); !row.silent && (told.Decision != record.Verdict || told.Code != record.Code || !slices.Equal(told.Args, record.Args)) {
		t.Errorf("explain says %+v, and the record %+v\n%s", told, record, seen)
	}
	if want := map[outcome]string{denied: "deny", answered: "answer", harmless: "allow"}[row.want]; record.Verdict != want {
		t.Errorf("the record says %q, not %q\n%s", record.Verdict, want, seen)
	}
	if !strings.Contains(stdout+stderr, row.says) {
		t.Errorf("the client does not read %q\n%s", row.says, seen)
	}
	// The folder's name is a random number.
	args := strings.ReplaceAll(strings.Join(record.Args, "\x00"), w.work, "")
	for _, word := range row.without {
		if strings.Contains(args, word) {
			t.Errorf("the child got %q in %q", word, record.Args)
		}
	}
	for _, word := range row.with {
		if !slices.Contains(record.Args, word) {
			t.Errorf("the child did not get %q in %q", word, record.Args)
		}
	}
}

func (row threat) checkDenied(t *testing.T, before mark, w *world, status int, stderr, seen string) {
	t.Helper()
	if want := max(row.status, 126); status != want {
		t.Errorf("exit status %d, not %d\n%s", status, want, seen)
	}
	if err := refusalLine(stderr); err != nil {
		t.Errorf("%v\n%s", err, seen)
	}
	if gw := filepath.Join(w.work, "gw"); strings.Contains(stderr, gw) && !strings.Contains(row.exec, "{gw}") {
		t.Errorf("the client reads where the gateway keeps its files\n%s", seen)
	}
	if err := before.nothingHappened(w); err != nil {
		t.Errorf("%v\n%s", err, seen)
	}
}

// decision is what the record of a decision tells.
type decision struct {
	Message string   `json:"message"`
	Verdict string   `json:"verdict"`
	Code    string   `json:"code"`
	Why     string   `json:"why"`
	Args    []string `json:"args"`

	Request     string `json:"request"`
	Confinement string `json:"confinement"`
	User        string `json:"user"`
}

// decided returns the record of the first decision from a line on.
func decided(t *testing.T, p *postern, from int) decision {
	t.Helper()
	var d decision
	if _, err := p.log.await(from, func(line string) bool {
		d = decision{}
		return json.Unmarshal([]byte(line), &d) == nil && d.Message == "session decided"
	}); err != nil {
		t.Fatal(err)
	}
	return d
}
