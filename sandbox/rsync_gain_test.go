package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// capability lets whoever runs the file give itself any user (VFS_CAP_REVISION_2
// with CAP_SETUID, effective; linux/capability.h).
var capability = []byte{1, 0, 0, 2, 1 << unix.CAP_SETUID, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// A client that is root at home pushes what would give rights on a host that took
// it as it comes (B16, B18, B19, D14), and then deletes all that it may (E11).
func TestRsyncGivesNoRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make what is pushed")
	}
	for _, program := range rsyncs(t) {
		for _, s := range starters() {
			if s.gateway.UID != 0 {
				continue
			}
			for _, l := range levels {
				// For the sake of time, the rest only where it is real.
				if l != full && (s.child.UID == 0 || version(t, program) != "3.2.7") {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", s.name, version(t, program), l), func(t *testing.T) {
					t.Parallel()
					testRights(t, s, program, l)
				})
			}
		}
	}
}

func testRights(t *testing.T, s starter, program string, l sandbox.Level) {
	base := publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	copyFile(t, program, filepath.Join(base, "rsync"))
	o := s.order(t, base, l)
	a := newArena(t, filepath.Join(base, "arena"), s)
	if err := makeRights(a.source); err != nil {
		t.Skipf("needs to make devices and capabilities: %v", err)
	}
	t.Log(a.client(t, s, []string{"-aAX", "--numeric-ids", a.source + "/", a.back + "/"}))
	for what, arrived := range rights(t, a.back) {
		if !arrived {
			t.Errorf("%s: not even root copies that, so that it proves nothing", what)
		}
	}

	o.Program, o.Dir, o.Env = filepath.Join(base, "rsync"), a.server, []string{"HOME=/nonexistent"}
	o.Paths = []sandbox.Path{{Path: a.server, Writable: true}}
	shell := a.shell(t, s, o, [2]string{})
	push := []string{"-aAX", "--numeric-ids", "-M--super", "-e", shell}
	t.Log(a.client(t, s, append(push, a.source+"/", "x:SERVER/")))

	// Root keeps owners and capabilities, because an order by its name says
	// so; what a kernel keeps for itself it does not keep either.
	got := rights(t, a.server)
	want := map[string]bool{"arrived": true, "root's": s.child.UID == 0, "set-user-id root": s.child.UID == 0, "capability": s.child.UID == 0}
	for what, has := range got {
		if has != want[what] {
			t.Errorf("%s: %v, want %v", what, has, want[what])
		}
	}

	was := identityOf(t, a.server)
	if err := errors.Join(os.RemoveAll(a.source), os.Mkdir(a.source, 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Log(a.client(t, s, append(push, "--delete", "--force", a.source+"/", "x:SERVER/")))
	if left, err := os.ReadDir(a.server); err != nil || len(left) != 0 || identityOf(t, a.server) != was {
		t.Errorf("after everything was deleted: %v, %v", left, err)
	}
}

func makeRights(dir string) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	return errors.Join(
		os.WriteFile(at("setuid"), []byte("#!/bin/sh\n"), 0o755), unix.Chmod(at("setuid"), 0o6755),
		os.WriteFile(at("capable"), nil, 0o755), unix.Setxattr(at("capable"), "security.capability", capability, 0),
		os.WriteFile(at("trusted"), nil, 0o755), unix.Setxattr(at("trusted"), "trusted.mark", []byte("mark"), 0),
		unix.Mknod(at("null"), unix.S_IFCHR|0o666, 1<<8|3), unix.Mknod(at("disk"), unix.S_IFBLK|0o666, 7<<8))
}

// rights tells which of the things that give rights are in a tree.
func rights(t *testing.T, dir string) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	err := walkUnnoticed(dir, func(path string, st *unix.Stat_t, _ string) {
		list := attributes(path)
		for what, is := range map[string]bool{
			"arrived":           filepath.Base(path) == "setuid",
			"device":            st.Mode&unix.S_IFMT == unix.S_IFCHR || st.Mode&unix.S_IFMT == unix.S_IFBLK,
			"root's":            st.Uid == 0,
			"set-user-id root":  st.Uid == 0 && st.Mode&unix.S_ISUID != 0,
			"capability":        strings.Contains(list, "security.capability"),
			"trusted attribute": strings.Contains(list, "trusted."),
		} {
			got[what] = got[what] || is
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// identityOf tells a folder from one that took its place.
func identityOf(t *testing.T, path string) [2]uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return [2]uint64{uint64(st.Dev), st.Ino}
}

// A program that is set-user-id root, and lies in the rule's path because root
// restored it there, gives its child no rights at any level, and runs at none
// above the least.
func TestSetUserIDGivesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a file that is set-user-id root")
	}
	for _, l := range levels {
		dir := publicDir(t)
		program := filepath.Join(dir, "id")
		copyFile(t, "/usr/bin/id", program)
		if err := unix.Chmod(program, 0o6755); err != nil {
			t.Fatal(err)
		}
		o := at(t, shell(t, `"$1" -u; :`, program), l)
		o.User, o.Paths = asNobody(), []sandbox.Path{{Path: dir, Writable: true}}
		want := map[sandbox.Level]string{none: "65534\n"}[l]
		if got := output(t, o); got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
}

// A device in the rule's path, which only root can have put there, is a way out
// that namespaces close and Landlock alone does not (B14, B15): /dev/full tells
// that it was reached by being full.
func TestRsyncReachesNoDevice(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a device")
	}
	for _, program := range rsyncs(t) {
		for _, l := range levels {
			t.Run(version(t, program)+"/"+l.String(), func(t *testing.T) {
				t.Parallel()
				reached := writesToDevice(t, program, l)
				if want := !l.Includes(namespaces); reached != want {
					t.Errorf("the device was reached: %v, want %v", reached, want)
				}
			})
		}
	}
}

func writesToDevice(t *testing.T, program string, l sandbox.Level) bool {
	s := starters()[0]
	base := publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	copyFile(t, program, filepath.Join(base, "rsync"))
	o := s.order(t, base, l)
	a := newArena(t, filepath.Join(base, "arena"), s)
	device := filepath.Join(a.server, "device")
	if err := errors.Join(unix.Mknod(device, unix.S_IFCHR|0o666, 1<<8|7), unix.Chmod(device, 0o666)); err != nil {
		t.Skipf("needs to make a device: %v", err)
	}
	if f, err := os.OpenFile(device, os.O_WRONLY, 0); err != nil {
		t.Skipf("needs a file system that has devices: %v", err)
	} else {
		f.Close()
	}
	if err := os.WriteFile(a.source+"/device", []byte("pushed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Program, o.Dir, o.Env = filepath.Join(base, "rsync"), a.server, []string{"HOME=/nonexistent"}
	o.Paths = []sandbox.Path{{Path: a.server, Writable: true}}
	output := a.client(t, s, []string{"-r", "--write-devices", "-e", a.shell(t, s, o, [2]string{}), a.source + "/device", "x:SERVER/"})
	t.Log(output)
	return strings.Contains(output, "No space left")
}
