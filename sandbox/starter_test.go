package sandbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// starter is a gateway's user and the child's.
type starter struct {
	name           string
	gateway, child sandbox.User
	// within are the words of a program that runs the gateway with less than
	// its user would have. PROGRAM stands for the tests' own.
	within []string
	// abi is the version of Landlock to start with, by default the kernel's.
	abi string
}

// starters are those that the tests can be.
func starters() []starter {
	if os.Getuid() != 0 {
		return []starter{{name: "user", gateway: *me(), child: *me()}}
	}
	return []starter{
		{name: "root starts a user", child: nobody},
		{name: "user", gateway: nobody, child: nobody},
		{name: "root starts root"},
	}
}

// firstStranger is a user whom the host does not know.
const firstStranger = 61_000

var strangers atomic.Uint32

// strange makes nobody a user whom no other test has, and whose processes can be
// counted.
func (s starter) strange() starter {
	u := firstStranger + strangers.Add(1)
	for _, user := range []*sandbox.User{&s.gateway, &s.child} {
		if *user == nobody && os.Getuid() == 0 {
			*user = sandbox.User{UID: u, GID: u}
		}
	}
	return s
}

// run starts a program as a user, which in the tests of root needs no more than
// that.
func (s starter) run(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "TMPDIR=/tmp"}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.gateway.UID, Gid: s.gateway.GID}}
	}
	return cmd
}

// words is a command of the starter's gateway.
func (s starter) words(base, verb string, args ...string) []string {
	var list []string
	program := filepath.Join(base, "program")
	for _, word := range s.within {
		list = append(list, strings.ReplaceAll(word, "PROGRAM", program))
	}
	return slices.Concat(list, []string{program, verb}, args)
}

// probe is what the starter's gateway finds that it can give.
func (s starter) probe(t testing.TB, base string) sandbox.Ability {
	t.Helper()
	words := s.words(base, gatewayVerb, "probe")
	out, err := s.run(t, words[0], words[1:]...).Output()
	var a sandbox.Ability
	if err := errors.Join(err, json.Unmarshal(out, &a)); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return a
}

// order is a gateway's, for a child of this starter. The level must be one that
// the starter's gateway can give, or the test is skipped.
func (s starter) order(t testing.TB, base string, l sandbox.Level) sandbox.Order {
	t.Helper()
	if got := s.probe(t, base); !got.Level.Includes(l) {
		t.Skipf("this host gives %s to %s, and the test needs %s", got, s.name, l)
	}
	child := s.child
	return sandbox.Order{Dir: "/", Umask: 0o077, User: &child, Least: l, Most: l, Limits: sandbox.Limits{Memory: enough}}
}

// enough memory for the attacker, and not for the attack.
const enough = 8 << 30

// publicDir is a folder that every user may enter.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postern-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyFile copies an executable file. No other test forks meanwhile: its child
// would have the copy open for writing, and the copy could not be run.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// setuidOwner is whom a program in the rule's path makes of who runs it, if it
// may.
const setuidOwner = 1

// places are those of all attacks.
func places() []string {
	var list []string
	for _, c := range chapters {
		for _, a := range c.attacks {
			list = append(list, c.place(a))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// battlefield makes what the attacks find, all of it the user's but a program
// that makes another one of him.
func battlefield(t *testing.T, owner sandbox.User) string {
	t.Helper()
	base := publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	var errs []error
	for _, place := range places() {
		for _, side := range []string{"outside", "rule"} {
			dir := filepath.Join(base, side, place)
			file := filepath.Join(dir, "file")
			errs = append(errs, os.MkdirAll(filepath.Join(dir, "folder"), 0o755), os.WriteFile(file, []byte("secret"), 0o600),
				os.Symlink("file", filepath.Join(dir, "link")), unix.Setxattr(file, "user.mark", []byte("mark"), 0))
		}
	}
	// Copies, since Landlock looks at files and not at names.
	setuid := filepath.Join(base, "rule", "setuid")
	copyFile(t, self, setuid)
	copyFile(t, self, filepath.Join(base, "rule", "program"))
	errs = append(errs,
		os.Symlink("../outside", filepath.Join(base, "rule", "link")),
		listen(t, filepath.Join(base, "socket")), listen(t, "@"+base))
	chown(t, base, owner)
	if os.Getuid() == 0 {
		errs = append(errs, os.Chown(setuid, setuidOwner, -1))
	}
	if err := errors.Join(append(errs, os.Chmod(setuid, 0o755|os.ModeSetuid))...); err != nil {
		t.Fatal(err)
	}
	return base
}

// listen waits for datagrams until the test ends.
func listen(t *testing.T, name string) error {
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return err
}

// attack has a child of the order try everything, and returns what succeeded.
func (s starter) attack(t *testing.T, base string, o sandbox.Order, writable bool) []string {
	t.Helper()
	return s.attackMany(t, base, s.attacker(base, o, writable), startBystander(t, s))[0]
}

// attacker makes an order one for the attacker.
func (s starter) attacker(base string, o sandbox.Order, writable bool) sandbox.Order {
	o.Program = filepath.Join(base, "program")
	o.Args = []string{o.Program, attackVerb, allWord, base}
	o.Paths = []sandbox.Path{{Path: filepath.Join(base, "rule"), Writable: writable}}
	o.Limits.Processes, o.Limits.Files = limited, limited
	o.Log = logWord
	o.Env = []string{nothingOpen, "GOTRACEBACK=none"}
	return o
}

// nothingOpen keeps Go from holding files open that tell how many processors it
// may use.
const nothingOpen = "GODEBUG=containermaxprocs=0"

func (s starter) attackMany(t *testing.T, base string, o sandbox.Order, victims ...int) [][]string {
	t.Helper()
	numbers, err := json.Marshal(victims)
	if err != nil {
		t.Fatal(err)
	}
	out := s.gatewayRuns(t, base, o, strings.NewReader(string(numbers)))
	var got [][]string
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(victims) {
		t.Fatalf("%v: %q", err, out)
	}
	return got
}

// gatewayRuns starts an order as the starter's gateway would, and returns what
// the child wrote.
func (s starter) gatewayRuns(t testing.TB, base string, o sandbox.Order, input io.Reader) []byte {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	words := s.words(base, gatewayVerb, string(text))
	if s.abi != "" {
		words = append(words, s.abi)
	}
	cmd := s.run(t, words[0], words[1:]...)
	cmd.Stdin = input
	complaint := new(strings.Builder)
	cmd.Stderr = complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint)
	}
	return out
}

// startBystander runs a process as the child's user until the test ends.
func startBystander(t *testing.T, s starter) int {
	t.Helper()
	s.gateway = s.child
	cmd := s.run(t, "/bin/sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// compare wants what the table says.
func compare(t *testing.T, got []string, l sandbox.Level, writable, root bool) {
	t.Helper()
	for _, a := range attacks() {
		if want := a.succeeds(l, writable, root); slices.Contains(got, a.name) != want {
			t.Errorf("%s: succeeds %v, want %v", a.name, !want, want)
		}
	}
}
