package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// self is the program whose main calls [sandbox.Main], and which plays the
// others' parts. TestMain sets it, once.
var self = "/proc/self/exe"

// forgetfulVerb is a program whose main does not call Main.
const forgetfulVerb = "forget"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[2] == forgetfulVerb {
		_, err := sandbox.Start(self, sandbox.Order{Program: "/bin/true", Args: []string{"true"}, Dir: "/", User: me()})
		fmt.Fprint(os.Stdout, err)
		os.Exit(0)
	}
	sandbox.Main(os.Args)
	play(os.Args)
	remove, err := withoutDetector()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		remove()
		os.Exit(status)
	}))
}

// withoutDetector builds these tests as self without the race detector, where
// they have it: each helper and each attacker would spend most of its time to
// set it up. What the tests themselves do, the gateway's part, keeps it.
func withoutDetector() (remove func(), err error) {
	if !detector {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "postern-self-")
	if err != nil {
		return nil, err
	}
	self = filepath.Join(dir, "self")
	out, err := exec.Command("go", "test", "-c", "-race=false", "-ldflags=-s -w", "-o", self, ".").CombinedOutput()
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("build the helper without the race detector: %w: %s", err, out), os.RemoveAll(dir))
	}
	return func() { os.RemoveAll(dir) }, nil
}

// me is who runs the tests, as whom a child may run too where that is root.
func me() *sandbox.User {
	return &sandbox.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
}

// shell is an order for a script, started unconfined in an empty folder.
func shell(t *testing.T, script string, args ...string) sandbox.Order {
	return sandbox.Order{
		Program: "/bin/sh",
		Args:    append([]string{"sh", "-c", script, "sh"}, args...),
		Env:     []string{"PATH=/usr/bin:/bin"},
		Dir:     t.TempDir(),
		Umask:   0o077,
		User:    me(),
		Least:   sandbox.None,
		Most:    sandbox.None,
	}
}

func start(t *testing.T, o sandbox.Order) *sandbox.Process {
	t.Helper()
	p, err := sandbox.Start(self, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// output runs the order to its end and returns what it printed.
func output(t *testing.T, o sandbox.Order) string {
	t.Helper()
	p := start(t, o)
	p.Stdin.Close()
	out, err := io.ReadAll(p.Stdout)
	complaint, err2 := io.ReadAll(p.Stderr)
	if err := errors.Join(err, err2); err != nil {
		t.Error(err)
	}
	if exit := p.Wait(); exit != (sandbox.Exit{}) {
		t.Errorf("ended with %+v: %s", exit, complaint)
	}
	return string(out)
}

func TestChildGetsExactlyItsArguments(t *testing.T) {
	args := []string{"", "a b", "$(id)", "*", "-x", "line\nbreak", "\xff\xfe not UTF-8", strings.Repeat("x", 100_000)}
	got := output(t, shell(t, `printf '%s\0' "$@"`, args...))
	if want := strings.Join(args, "\x00") + "\x00"; got != want {
		t.Errorf("got %.200q, want %.200q", got, want)
	}
}

func TestChildGetsALongArgumentList(t *testing.T) {
	args := make([]string, 10_000)
	for i := range args {
		args[i] = strings.Repeat("n", 90) + strconv.Itoa(i)
	}
	if got := output(t, shell(t, `echo $#`, args...)); got != "10000\n" {
		t.Errorf("the child counted %q arguments", got)
	}
}

func TestChildGetsNothingElse(t *testing.T) {
	t.Setenv("LD_PRELOAD_OF_THE_GATEWAY", "leaks")
	// A descriptor that someone forgot to mark close-on-exec.
	leak, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)

	o := sandbox.Order{Program: "/usr/bin/env", Args: []string{"env"}, Env: []string{"A=1"}, Dir: "/", User: me(), Least: sandbox.None, Most: sandbox.None}
	if got := output(t, o); got != "A=1\n" {
		t.Errorf("environment %q, want A=1 alone", got)
	}
	for what, c := range map[string]struct{ script, want string }{
		"descriptors": {`ls /proc/$$/fd; :`, "0\n1\n2\n"},
		"core files":  {`ulimit -c`, "0\n"},
		"privileges":  {`grep NoNewPrivs /proc/self/status`, "NoNewPrivs:\t1\n"},
		"umask":       {`umask`, "0077\n"},
		// Blocking: interpreters read a pipe that would block as its end.
		"standard input": {`grep flags /proc/self/fdinfo/0`, "flags:\t00\n"},
	} {
		if got := output(t, shell(t, c.script)); got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

func TestChildRunsInItsFolderAndGroup(t *testing.T) {
	o := shell(t, `pwd; read pid comm state ppid pgrp rest < /proc/self/stat; [ $$ = $pgrp ] && echo leader`)
	real, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := output(t, o), real+"\nleader\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNothingRunsWhenTheOrderCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := shell(t, `echo > "$1"`, mark)
	for name, spoil := range map[string]func(*sandbox.Order){
		"program that does not exist":       func(o *sandbox.Order) { o.Program = filepath.Join(dir, "none") },
		"program that is not executable":    func(o *sandbox.Order) { o.Program = plain },
		"program found by its name":         func(o *sandbox.Order) { o.Program = "sh" },
		"folder that does not exist":        func(o *sandbox.Order) { o.Dir = filepath.Join(dir, "none") },
		"folder that is a file":             func(o *sandbox.Order) { o.Dir = plain },
		"folder that is relative":           func(o *sandbox.Order) { o.Dir = "." },
		"argument with a NUL":               func(o *sandbox.Order) { o.Args = append(o.Args, "a\x00b") },
		"variable with a NUL":               func(o *sandbox.Order) { o.Env = []string{"A=a\x00B=b"} },
		"no arguments":                      func(o *sandbox.Order) { o.Args = nil },
		"umask out of range":                func(o *sandbox.Order) { o.Umask = 0o1777 },
		"more arguments than exec can take": func(o *sandbox.Order) { o.Args = append(o.Args, strings.Repeat("x", 200_000)) },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			spoil(&o)
			p, err := sandbox.Start(self, o)
			if err == nil {
				p.Wait()
				t.Fatal("started")
			}
			t.Log(err)
			if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
				t.Error("the program ran")
			}
		})
	}
}

func TestNothingRunsWithoutTheHelper(t *testing.T) {
	if p, err := sandbox.Start(filepath.Join(t.TempDir(), "none"), shell(t, `true`)); err == nil {
		p.Wait()
		t.Error("started without a helper")
	}
}

// A main that forgets to call Main must not start itself again and again: the
// first helper tries, and is told.
func TestForgetfulMainDoesNotRunAway(t *testing.T) {
	out, err := exec.Command(self, "__child", forgetfulVerb).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("main must call sandbox.Main")) {
		t.Errorf("%v: %s", err, out)
	}
}

// Someone finds the hidden verb in the list of processes and tries it.
func TestHelperByHandDoesNothing(t *testing.T) {
	out, err := exec.Command(self, "__child").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !bytes.Contains(out, []byte("not a command")) {
		t.Errorf("got %v and %q", err, out)
	}
}

func TestExit(t *testing.T) {
	for script, want := range map[string]sandbox.Exit{
		`exit 0`:        {},
		`exit 23`:       {Status: 23},
		`exit 255`:      {Status: 255},
		`kill -TERM $$`: {Signal: syscall.SIGTERM},
		`kill -SEGV $$`: {Signal: syscall.SIGSEGV},
	} {
		p := start(t, shell(t, script))
		if got := p.Wait(); got != want {
			t.Errorf("%s: got %+v, want %+v", script, got, want)
		}
	}
}

func TestStreamsAreTheChilds(t *testing.T) {
	p := start(t, shell(t, `cat; echo to stderr >&2`))
	data := bytes.Repeat([]byte("\x00\xff\r\n"), 1<<20)
	go func() {
		p.Stdin.Write(data)
		p.Stdin.Close()
	}()
	got, err := io.ReadAll(p.Stdout)
	complaint, err2 := io.ReadAll(p.Stderr)
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(got, data) || string(complaint) != "to stderr\n" {
		t.Errorf("%d bytes of %d came back, and %q; %v", len(got), len(data), complaint, err)
	}
	p.Wait()
}

// A child and its own child, which both ignore TERM, must both be gone.
func TestEndReachesTheWholeGroup(t *testing.T) {
	p := start(t, shell(t, `trap "" TERM; sh -c 'trap "" TERM; echo $$; while :; do sleep 60; done' & wait; while :; do sleep 60; done`))
	grandchild := readPid(t, p.Stdout)
	p.End(50 * time.Millisecond)
	if exit := p.Wait(); exit.Signal != syscall.SIGKILL {
		t.Errorf("ended with %+v", exit)
	}
	waitGone(t, p.Pid(), grandchild)
}

func TestEndLetsTheChildGoByItself(t *testing.T) {
	p := start(t, shell(t, `trap "exit 7" TERM; echo $$; while :; do sleep 0.01; done`))
	readPid(t, p.Stdout)
	p.End(time.Minute)
	if exit := p.Wait(); exit.Status != 7 {
		t.Errorf("ended with %+v, want the status of the trap", exit)
	}
}

func TestNothingOutlivesTheChild(t *testing.T) {
	p := start(t, shell(t, `sleep 600 & echo $!`))
	left := readPid(t, p.Stdout)
	p.Wait()
	waitGone(t, p.Pid(), left)
	p.Terminate() // must not reach whoever has the number now
}

func readPid(t *testing.T, r io.Reader) int {
	t.Helper()
	var pid int
	if _, err := fmt.Fscanln(r, &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// waitGone waits until none of the processes is left; a killed process whose
// parent is gone too takes a moment to be reaped by init.
func waitGone(t *testing.T, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for _, pid := range pids {
		for running(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d still runs", pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// running reports whether the process exists and is no zombie, which where init
// does not reap stays for ever.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
