package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/sandbox"
)

// rsyncAttack is an option or a trick that argument checks should refuse, or
// cannot see, and that the kernel must hold.
type rsyncAttack struct {
	// name begins with the code of the threat.
	name string
	// args are the client's, before the paths. OUTSIDE, SERVER and CLIENT
	// stand for folders.
	args []string
	// pull says which way the files go. path is the server's: below the
	// rule's path, unless it begins with a word for a folder.
	pull bool
	path string
	// prepare adds to what the attack finds, and alike are pushed files of
	// the size and the time of the secret.
	prepare func(a *arena) error
	alike   []string
	// forge is a word in what the client sends, and another of the same
	// length that takes its place.
	forge [2]string
	// speak takes the place of the stock client, which only pushes then; args
	// are the server's.
	speak func(h *hostile)
	// oracle finds what the attack learnt without seeing it.
	oracle func(a *arena, output string) harm

	// old and today are what the attack does with rsync 3.2.7 and 3.5.0.
	old, today outcome
	// closed says why an attack fails with both versions.
	closed string
}

// outcome is the harm without any confinement, and what of it Landlock alone
// lets through. Namespaces let nothing through.
type outcome struct{ none, landlock harm }

func (o outcome) at(l sandbox.Level) harm {
	switch l {
	case none:
		return o.none
	case landlock:
		return o.landlock
	}
	return 0
}

// Whatever an rsync is told to do, patched or not, it does within the rule's
// path. At level none the attacks work, which shows that they are attacks.
func TestRsyncReachesNothingOutside(t *testing.T) {
	for i, s := range starters() {
		for _, program := range rsyncs(t) {
			old := version(t, program) == "3.2.7"
			for _, l := range levels {
				// The other users see less, for the sake of time: what
				// differs is how the namespaces come about.
				if i > 0 && (!old || l != full) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", s.name, version(t, program), l), func(t *testing.T) {
					t.Parallel()
					testRsyncAttacks(t, s, program, l)
				})
			}
		}
	}
}

// version is what an rsync says that it is.
func version(t *testing.T, program string) string {
	t.Helper()
	out, err := exec.Command(program, "--version").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 3 {
		t.Fatalf("%s tells no version: %v", program, err)
	}
	return fields[2]
}

func testRsyncAttacks(t *testing.T, s starter, program string, l sandbox.Level) {
	base := publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	copyFile(t, program, filepath.Join(base, "rsync"))
	o := s.order(t, base, l)
	o.Program = filepath.Join(base, "rsync")
	v, works := version(t, program), 0
	for i, attack := range rsyncAttacks {
		want, known := attack.expected(v, l)
		var got harm
		// A second chance to do harm, never not to: the gateway of these
		// tests can lose a server's last words.
		for try := 0; try == 0 || try < 3 && known && got != want && got&^want == 0; try++ {
			got |= newArena(t, filepath.Join(base, fmt.Sprintf("%d.%d", i, try)), s).suffer(t, s, attack, o)
		}
		if got != 0 {
			works++
		}
		if known && got != want || got&^want != 0 {
			t.Errorf("%s: %s, want %s", attack.name, got, want)
		}
	}
	t.Logf("%d of %d attacks do something", works, len(rsyncAttacks))
}

// expected is what an attack does. Of a version that nobody has looked at only
// the bounds are known.
func (attack rsyncAttack) expected(version string, l sandbox.Level) (h harm, known bool) {
	switch version {
	case "3.2.7":
		return attack.old.at(l), true
	case "3.5.0":
		return attack.today.at(l), true
	}
	return map[sandbox.Level]harm{none: reads | lists | looks | writes | changes, landlock: looks | changes}[l], false
}

// An attack that never works proves nothing when it is stopped.
func TestRsyncAttacksAreAttacks(t *testing.T) {
	for _, attack := range rsyncAttacks {
		if works := attack.old.none|attack.today.none != 0; works == (attack.closed != "") {
			t.Errorf("%s: it works without confinement: %v; closed: %q", attack.name, works, attack.closed)
		}
		for _, o := range []outcome{attack.old, attack.today} {
			if o.landlock&^(looks|changes) != 0 {
				t.Errorf("%s: Landlock must let no more through than looks and changes, and lets %s", attack.name, o.landlock)
			}
		}
	}
}

// suffer runs an attack against a server with the order's confinement, and
// returns what it did.
func (a *arena) suffer(t *testing.T, s starter, attack rsyncAttack, o sandbox.Order) harm {
	t.Helper()
	if attack.prepare != nil {
		if err := attack.prepare(a); err != nil {
			t.Fatal(err)
		}
		chown(t, a.server, s.child)
		chown(t, a.outside, s.child)
		chown(t, filepath.Dir(a.source), s.gateway)
	}
	a.settle(t, attack.alike)
	before := fingerprint(t, a.outside)

	o.Dir, o.Env = a.server, []string{"HOME=" + a.server}
	o.Paths = []sandbox.Path{{Path: a.server, Writable: true}}
	var output string
	if attack.speak != nil {
		output = a.pushHostile(t, s, o, append(slices.Clone(attack.args), "--timeout=10", ".", a.server+"/"), attack.speak)
	} else {
		output = a.runClient(t, s, o, attack)
	}
	h := done(before, fingerprint(t, a.outside), o.Most) | a.learnt(t, output)
	if attack.oracle != nil {
		h |= attack.oracle(a, output)
	}
	if testing.Verbose() && h != 0 {
		t.Logf("%s: %s\n%.400s", attack.name, h, output)
	}
	return h
}

// runClient runs the stock client with the attack's arguments.
func (a *arena) runClient(t *testing.T, s starter, o sandbox.Order, attack rsyncAttack) string {
	t.Helper()
	args := append([]string{"--timeout=10", "-e", a.shell(t, s, o, attack.forge)}, attack.args...)
	path := attack.path
	if !strings.HasPrefix(path, "OUTSIDE") && !strings.HasPrefix(path, "x::") && !strings.HasPrefix(path, "/proc") {
		path = "SERVER/" + path
	}
	from, to := a.source+"/", "x:"+path
	if strings.HasPrefix(path, "x::") {
		to = path
	}
	if attack.pull {
		from, to = to, a.back+"/"
	}
	return a.client(t, s, append(args, from, to))
}

// client runs the stock client, which no attack may hold up.
func (a *arena) client(t *testing.T, s starter, args []string) string {
	t.Helper()
	places := strings.NewReplacer("OUTSIDE", a.outside, "SERVER", a.server, "CLIENT", filepath.Dir(a.source))
	for i := range args {
		args[i] = places.Replace(args[i])
	}
	cmd := s.run(t, "/usr/bin/rsync", args...)
	output := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = output, output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	if !late.Stop() {
		t.Errorf("%q hangs: %s", args, output)
	}
	return output.String()
}

// shell writes what stands for ssh towards a server with this order: as sshd
// does, it lets a shell split the client's words.
func (a *arena) shell(t *testing.T, s starter, o sandbox.Order, forge [2]string) string {
	t.Helper()
	proxy := ""
	if forge[0] != "" {
		file := filepath.Join(a.dir, "forger")
		if err := os.WriteFile(file, []byte(forger), 0o644); err != nil {
			t.Fatal(err)
		}
		proxy = strings.Join([]string{"python3", file, "'" + forge[0] + "'", "'" + forge[1] + "'", ""}, " ")
	}
	// The words begin with the name of the host.
	script := "#!/bin/sh\nshift\neval \"exec " + proxy + a.remote(t, o) + " x $*\"\n"
	path := filepath.Join(a.dir, "shell")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	chown(t, path, s.gateway)
	return path
}

// remote writes the order where the program that runs it will look.
func (a *arena) remote(t *testing.T, o sandbox.Order) string {
	t.Helper()
	file := filepath.Join(a.dir, "order.json")
	text, err := json.Marshal(o)
	if err := errors.Join(err, os.WriteFile(file, text, 0o644)); err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{filepath.Join(filepath.Dir(a.dir), "program"), remoteVerb, file}, " ")
}

// forger replaces a word in a stream. The stream is not parsed: a word of the
// same length changes nothing else in it.
const forger = `
import os, subprocess, sys, threading
old, new = sys.argv[1].encode(), sys.argv[2].encode()
assert len(old) == len(new)
server = subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE)
os.close(1)
threading.Thread(target=lambda: os._exit(server.wait()), daemon=True).start()
try:
    while data := os.read(0, 1 << 16):
        os.write(server.stdin.fileno(), data.replace(old, new))
except BrokenPipeError:
    pass
server.stdin.close()
os._exit(server.wait())
`
