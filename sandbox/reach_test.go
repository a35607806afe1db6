package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// A program that unpacks itself runs from its scratch folder, and with
// namespaces leaves nothing there.
func TestScratch(t *testing.T) {
	each(t, starters(), levels, func(t *testing.T, s starter, l sandbox.Level) {
		base, scratch, elsewhere := yard(t, s)
		chown(t, scratch, s.child)
		o := s.order(t, base, l)
		o.Program = filepath.Join(base, "program")
		o.Paths = []sandbox.Path{{Path: elsewhere, Writable: true}}
		o.Scratch = scratch
		for dir, want := range map[string]bool{scratch: true, elsewhere: l == none} {
			o.Args = []string{o.Program, unpackVerb, dir}
			if got := string(s.gatewayRuns(t, base, o, nil)) == "ran"; got != want {
				t.Errorf("runs from %s: %v, want %v", dir, got, want)
			}
		}
		left, err := os.ReadDir(scratch)
		if hidden := l.Includes(namespaces); err != nil || hidden != (len(left) == 0) {
			t.Errorf("the host's folder contains %v, %v", left, err)
		}
	})
}

// borg is as often in a virtual environment as in /usr. Its modules, those of
// the Python beneath and their libraries are found.
func TestVirtualEnvironment(t *testing.T) {
	base := publicDir(t)
	dir := filepath.Join(base, "environment")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		t.Skipf("needs a python3 that makes virtual environments: %s", out)
	}
	modules, err := filepath.Glob(filepath.Join(dir, "lib/python3*/site-packages"))
	if err != nil || len(modules) != 1 {
		t.Fatal(modules, err)
	}
	script := filepath.Join(dir, "bin", "tool")
	err = errors.Join(
		os.WriteFile(filepath.Join(modules[0], "ours.py"), []byte("import hashlib, ctypes, subprocess\nword = hashlib.sha256(b'').hexdigest()[:4]\n"), 0o644),
		os.WriteFile(script, []byte("#!"+dir+"/bin/python3\nimport ours, sys\nprint(ours.word, sys.prefix)\n"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range levels {
		o := at(t, shell(t, ""), l)
		o.Program, o.Args, o.User = script, []string{script}, asNobody()
		if got, want := output(t, o), "e3b0 "+dir+"\n"; got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
}

// The shell tells its limits when the gateway has said something: those below a
// helper are set when the program has started, and before Start returns.
func TestLimits(t *testing.T) {
	for _, l := range levels {
		o := at(t, shell(t, `read go; ulimit -v; ulimit -n; ulimit -c; exec 3<&0; `+strings.Repeat(`read x <&3 | `, 100)+`echo forked`), l)
		o.Limits = sandbox.Limits{Memory: 1 << 30, Files: 100, Processes: 60}
		if os.Getuid() == 0 {
			// A user whose processes nobody else starts, nor an earlier
			// level: those that init has not reaped count.
			o.User = &sandbox.User{UID: 61_234 + uint32(l), GID: 61_234}
		}
		p := start(t, o)
		fmt.Fprintln(p.Stdin, "go")
		out, err := io.ReadAll(p.Stdout)
		p.Kill()
		if p.Wait(); string(out) != "1048576\n100\n0\n" || err != nil {
			t.Errorf("%s: %q, %v", l, out, err)
		}
	}
}

// A file system that is mounted below a read-only path is read-only too.
func TestPathIsBoundWithItsMounts(t *testing.T) {
	if os.Getuid() != 0 || !sandbox.Probe(self).Level.Includes(namespaces) {
		t.Skip("needs root and mount namespaces")
	}
	dir := publicDir(t)
	below := filepath.Join(dir, "below")
	if err := errors.Join(os.Mkdir(below, 0o755), unix.Mount("tmpfs", below, "tmpfs", 0, "mode=0777")); err != nil {
		t.Skipf("needs to mount: %v", err)
	}
	defer unix.Unmount(below, unix.MNT_DETACH)
	o := at(t, shell(t, `echo x > "$1/below/x"; echo $?`, dir), namespaces)
	o.Paths = []sandbox.Path{{Path: dir}}
	p := start(t, o)
	out, err := io.ReadAll(p.Stdout)
	if p.Wait(); string(out) != "2\n" || err != nil {
		t.Errorf("a mount below a read-only path could be written: %q, %v", out, err)
	}
}
