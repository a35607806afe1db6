package sandbox_test

import (
	"debug/elf"
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
		for _, o.Unpacks = range []bool{false, true} {
			for dir, want := range map[string]bool{scratch: o.Unpacks || l == none, elsewhere: l == none} {
				o.Args = []string{o.Program, unpackVerb, dir}
				if got := string(s.gatewayRuns(t, base, o, nil)) == "ran"; got != want {
					t.Errorf("unpacks %v: runs from %s: %v, want %v", o.Unpacks, dir, got, want)
				}
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
	version, err := exec.Command("/usr/bin/python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2], end='')").Output()
	if err != nil {
		t.Skipf("needs /usr/bin/python3: %v", err)
	}
	modules := filepath.Join(dir, "lib", string(version), "site-packages")
	script := filepath.Join(dir, "bin", "tool")
	err = errors.Join(
		os.MkdirAll(modules, 0o755), os.Mkdir(filepath.Dir(script), 0o755),
		os.Symlink("/usr/bin/python3", filepath.Join(dir, "bin", "python3")),
		os.WriteFile(filepath.Join(dir, "pyvenv.cfg"), []byte("home = /usr/bin\ninclude-system-site-packages = false\n"), 0o644),
		os.WriteFile(filepath.Join(modules, "ours.py"), []byte("import hashlib, ctypes, subprocess\nword = hashlib.sha256(b'').hexdigest()[:4]\n"), 0o644),
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

// Where /usr is merged into the root, and where the tree is laid out otherwise, a
// program and its interpreter lie behind links. The shell's own loader may be any:
// here it is named as musl's would be.
func TestProgramsBehindLinks(t *testing.T) {
	base, err := os.MkdirTemp("/tmp", "p")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	sh := filepath.Join(base, "usr/bin/sh")
	err = errors.Join(
		os.Chmod(base, 0o755), os.MkdirAll(filepath.Dir(sh), 0o755), os.Symlink("usr/bin", filepath.Join(base, "bin")),
		os.Symlink(base+"/bin", filepath.Join(base, "sbin")),
		os.WriteFile(filepath.Join(base, "usr/bin/tool"), []byte("#!"+base+"/sbin/sh\necho ran\n"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	copyFile(t, "/bin/sh", sh)
	renameLoader(t, sh, filepath.Join(base, "ld-musl.so"))
	for _, program := range []string{"bin/tool", "sbin/tool", "usr/bin/tool"} {
		for _, l := range levels {
			o := at(t, shell(t, ""), l)
			o.Program, o.User = filepath.Join(base, program), asNobody()
			o.Args = []string{o.Program}
			if got := output(t, o); got != "ran\n" {
				t.Errorf("%s at %s: %q", program, l, got)
			}
		}
	}
}

// renameLoader has a program look for its loader under another name, which is
// made to lead to the one that it had.
func renameLoader(t *testing.T, program, name string) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		old, err := io.ReadAll(segment.Open())
		if err != nil || len(name) >= len(old) {
			t.Skipf("needs a shell whose loader has a longer name than %q: %q, %v", name, old, err)
		}
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		copy(data[segment.Off:], append([]byte(name), make([]byte, len(old)-len(name))...))
		if err := errors.Join(os.WriteFile(program, data, 0o755), os.Symlink(strings.TrimRight(string(old), "\x00"), name)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Skip("needs a shell that is not static")
}

// The shell tells its limits when the gateway has said something: those below a
// helper are set when the program has started, and before Start returns.
func TestLimits(t *testing.T) {
	for _, l := range levels {
		o := at(t, shell(t, `read go; ulimit -v; ulimit -n; ulimit -c; ulimit -f; exec 3<&0; `+strings.Repeat(`read x <&3 | `, 100)+`echo forked`), l)
		o.Limits = sandbox.Limits{Memory: 1 << 30, Files: 100, Processes: 60, NoData: true}
		if os.Getuid() == 0 {
			// A user whose processes nobody else starts, nor an earlier
			// level: those that init has not reaped count.
			s := starter{child: nobody}.strange()
			o.User = &s.child
		}
		p := start(t, o)
		fmt.Fprintln(p.Stdin, "go")
		out, err := io.ReadAll(p.Stdout)
		p.Kill()
		if p.Wait(); string(out) != "1048576\n100\n0\n0\n" || err != nil {
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
