package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// secret stands in files that no client of these tests may read.
const secret = "the words of another client"

// attack is a row of an attacker's list that arguments do not show, or that the
// kernel must hold whatever they show: a whole transfer by a stock rsync.
type attack struct {
	row, class string
	// nas is what the attacker has put into its folder before, by name; src is
	// the source of a push. A content that begins with "-> " is a link.
	nas, src map[string]string
	// args are rsync's. SRC is the source; k1: is the gateway; a pull goes to got.
	args []string
	// refused says at which levels it is refused, and by which code.
	refused map[string]string
	// harms says in which rsync the attack works where nothing holds it.
	harms []string
	// missed is a file of [mine] that a pull lacks when the attack has worked.
	missed string
	// residual is what the weakest level does not hold: an old rsync.
	residual bool
}

// TestContained replays each attack at each level, with both ages of rsync on the
// server, and without any gateway to show that it is one.
func TestContained(t *testing.T) {
	if onlyBaseline() {
		return
	}
	for _, version := range []string{newRsync, oldRsync} {
		for _, m := range append(chosenManners(), atFull) {
			t.Run(version+"-"+m.String(), func(t *testing.T) {
				t.Parallel()
				w, p := attackWorld(t, m, version)
				for _, a := range attacks() {
					t.Run(a.row+" "+a.class, func(t *testing.T) { a.run(t, w, p) })
				}
			})
		}
		t.Run(version+"-bare", func(t *testing.T) {
			t.Parallel()
			w, _ := attackWorld(t, atFull, version)
			for _, a := range attacks() {
				t.Run(a.row+" "+a.class, func(t *testing.T) { a.bare(t, w) })
			}
		})
	}
}

// attackWorld has the client k1 and, beside it, the folder of another.
func attackWorld(t *testing.T, m manner, version string) (*world, *postern) {
	t.Helper()
	w := newTestWorld(t, m)
	w.binary, w.serverRsync = os.Getenv(envPlain), version
	if _, err := w.addClient("k1", "rsync:nas/k1"); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nshift\ncd '%s' && PATH='%s':$PATH exec /bin/sh -c \"$*\"\n", w.path("nas/k1"), w.path("server-bin"))
	if err := errors.Join(write(w.path("bare"), []byte(script), 0o755), restore(w), w.start()); err != nil {
		t.Fatal(err)
	}
	return w, w.server.(*postern)
}

// arrange puts the folders of the attack in place, and everything else back.
func (a attack) arrange(t *testing.T, w *world) {
	t.Helper()
	for _, folder := range []string{"nas/k1", "src", "got"} {
		entries, _ := os.ReadDir(w.path(folder))
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(w.path(folder), e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for folder, files := range map[string]map[string]string{"nas/k1": a.nas, "src": a.src} {
		if err := os.MkdirAll(w.path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			if err := plant(w, filepath.Join(w.path(folder), name), content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(setTimes(w.path("nas/k1")), setTimes(w.path("src")), w.own("nas"), w.own("src")); err != nil {
		t.Fatal(err)
	}
	// A twin of the secret has its size and its time.
	if info, err := os.Stat(w.path("nas/k2/secret")); err == nil && a.src["secret"] != "" {
		err = setTime(w.path("src/secret"), info.ModTime())
		if err != nil {
			t.Fatal(err)
		}
	}
}

func plant(w *world, path, content string) error {
	target, link := strings.CutPrefix(content, "-> ")
	if !link {
		return write(path, []byte(content), 0o644)
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(strings.ReplaceAll(target, "NAS", w.path("nas")), path))
}

// rsync runs the attack's client.
func (a attack) rsync(t *testing.T, w *world, shell string) (output string, status int) {
	t.Helper()
	var args []string
	for _, arg := range a.args {
		args = append(args, strings.ReplaceAll(arg, "SRC", w.path("src")))
	}
	cmd := exec.Command(w.path("bin/rsync"), args...)
	cmd.Dir = w.work
	cmd.Env = append(append(os.Environ(), w.env()...), "RSYNC_RSH="+shell)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// harm tells what the attack has reached.
func (a attack) harm(w *world, before mark, output string) error {
	problems := []error{before.nothingChanged()}
	if strings.Contains(output, secret) {
		problems = append(problems, errors.New("the client reads the secret in a message"))
	}
	for _, folder := range []string{"got", "nas/k1"} {
		filepath.WalkDir(w.path(folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if content, _ := os.ReadFile(path); strings.Contains(string(content), secret) {
					problems = append(problems, fmt.Errorf("the secret is in %s", path))
				}
			}
			return nil
		})
	}
	if arrived, _ := os.ReadDir(w.path("got")); a.missed != "" && len(arrived) > 0 {
		if _, err := os.Lstat(w.path("got/" + a.missed)); err != nil {
			problems = append(problems, fmt.Errorf("the pull lacks %s, which a file of another client names", a.missed))
		}
	}
	return errors.Join(problems...)
}

// beside marks what is no business of k1.
func (a attack) beside(t *testing.T, w *world) mark {
	t.Helper()
	before, err := w.markOf(w.path("nas/k2"), w.path("nas/secret"), w.path("nas/rules"), w.path("outside"), w.path("gw/clients.d"), w.path("gw/postern.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return before
}

// bare runs the attack where nothing holds rsync.
func (a attack) bare(t *testing.T, w *world) {
	a.arrange(t, w)
	before := a.beside(t, w)
	output, status := a.rsync(t, w, w.path("bare"))
	harm := a.harm(w, before, output)
	if works := slices.Contains(a.harms, w.serverRsync); works != (harm != nil) {
		t.Errorf("it works: %v, and not %v: %v\nstatus %d: %s", harm != nil, works, harm, status, output)
	}
	if harm != nil {
		if err := restore(w); err != nil {
			t.Fatal(err)
		}
	}
}

// restore puts in place what an attack is after, again where one has reached it.
func restore(w *world) error {
	problems := []error{os.RemoveAll(w.path("nas/k2")), os.MkdirAll(w.path("nas/k2/sub"), 0o755), os.Chmod(w.path("nas/k2/sub"), 0o700)}
	for name, content := range map[string]string{"nas/k2/secret": secret, "nas/k2/rules": "x\n", "nas/secret": secret, "nas/rules": "x\n"} {
		problems = append(problems, write(w.path(name), []byte(content), 0o644))
	}
	return errors.Join(append(problems, setTimes(w.path("nas/k2")), w.own("nas"))...)
}

func (a attack) run(t *testing.T, w *world, p *postern) {
	a.arrange(t, w)
	all, err := w.mark()
	if err != nil {
		t.Fatal(err)
	}
	before := a.beside(t, w)
	output, status := a.rsync(t, w, "ssh")
	record := decided(t, p, all.lines)
	switch code := a.refused[w.level]; {
	case code != "":
		if record.Verdict != "deny" || record.Code != code {
			t.Errorf("the record says %q %q, not deny %q", record.Verdict, record.Code, code)
		}
		if err := errors.Join(refusalLine(output), all.nothingHappened(w)); err != nil {
			t.Errorf("%v\nstatus %d: %s", err, status, output)
		}
	case record.Verdict != "allow" || record.Confinement != w.level || record.User != fmt.Sprintf("%d:%d", w.children(), w.children()):
		t.Errorf("the record says %q %q, confinement %q, user %q", record.Verdict, record.Code, record.Confinement, record.User)
	}
	harm := a.harm(w, before, output)
	if open := a.residual && w.level == none && w.serverRsync == oldRsync; open != (harm != nil) {
		t.Errorf("the attack reaches: %v\nstatus %d: %s", harm, status, output)
	}
	if harm != nil {
		if err := restore(w); err != nil {
			t.Fatal(err)
		}
	}
	a.arrange(t, w)
	told := w.explain(t, "k1", record.Request)
	if told.Decision != record.Verdict || told.Code != record.Code || !reflect.DeepEqual(told.Args, record.Args) || told.Confinement != w.level {
		t.Errorf("explain says %+v\nthe record %+v", told, record)
	}
}

// explanation is what "postern explain" tells.
type explanation struct {
	Decision    string   `json:"decision"`
	Code        string   `json:"code"`
	Args        []string `json:"args"`
	Confinement string   `json:"confinement"`
}

// explain asks what would become of a request.
func (w *world) explain(t *testing.T, client, request string) explanation {
	t.Helper()
	var e explanation
	cmd := w.command("explain", "--json", client, request)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("explain %q: %v\n%s", request, err, out)
	}
	if err := json.Unmarshal(out, &e); err != nil {
		t.Fatalf("explain %q: %v\n%s", request, err, out)
	}
	return e
}
