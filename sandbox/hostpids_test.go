package sandbox_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// What differs for a child that has its number on the host: it learns of others,
// and is held more closely, for lack of a namespace that would end with it.
var (
	learnt      = []string{"ask whether a process lives"}
	heldClosely = append([]string{"leave the group"}, signals...)
)

func TestHostPIDsStopAsMuch(t *testing.T) {
	for _, s := range starters() {
		for _, l := range levels {
			t.Run(s.name+"/"+l.String(), func(t *testing.T) {
				t.Parallel()
				base := battlefield(t, s.child)
				o := s.order(t, base, l)
				o.HostPIDs = true
				got := s.attack(t, base, o, true)
				for _, a := range attacks {
					want := slices.Contains(a.writing, l) && !slices.Contains(heldClosely, a.name) || slices.Contains(learnt, a.name)
					if slices.Contains(got, a.name) != want {
						t.Errorf("%s: succeeds %v, want %v", a.name, !want, want)
					}
				}
			})
		}
	}
}

// The child's number is the one by which the gateway and every other child know
// it, and signals to itself work.
func TestHostPIDsAreThoseOfTheHost(t *testing.T) {
	for _, l := range levels {
		t.Run(l.String(), func(t *testing.T) {
			o := at(t, shell(t, `echo $$; read x; kill -TERM $$; echo still here`), l)
			o.HostPIDs, o.User = true, asNobody()
			p := start(t, o)
			if pid := readPid(t, p.Stdout); pid != p.Pid() {
				t.Errorf("the child is %d to itself and %d to the host", pid, p.Pid())
			}
			p.Stdin.Close()
			if rest, err := io.ReadAll(p.Stdout); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			if got := p.Wait(); got.Signal != syscall.SIGTERM {
				t.Errorf("ended with %+v", got)
			}
		})
	}
}

// A child without a process namespace ends with its group, which nothing leaves.
func TestNothingLeavesTheGroup(t *testing.T) {
	for _, l := range levels {
		for _, hostPIDs := range []bool{true, false} {
			if l.Includes(namespaces) && !hostPIDs {
				continue
			}
			t.Run(l.String()+"/"+strconv.FormatBool(hostPIDs), func(t *testing.T) {
				o := at(t, shell(t, `setsid sleep 600 & set -m; sleep 600 & echo $!; exec sleep 600`), l)
				o.Reads, o.HostPIDs = []string{"/usr/bin"}, hostPIDs
				p := start(t, o)
				left := readPid(t, p.Stdout)
				p.Kill()
				p.Wait()
				if _, err := io.ReadAll(p.Stdout); err == nil {
					t.Error("the stream is not closed")
				}
				if l == none && hostPIDs {
					waitGone(t, left)
				}
			})
		}
	}
}

// borg writes its host and number into the lock of a repository and removes a
// lock whose holder the kernel does not know. With numbers of their own each
// session would be nobody to the other, or the very same, and two would write.
func TestBorgSeesThatALockIsHeld(t *testing.T) {
	each(t, starters()[:1], levels, func(t *testing.T, s starter, l sandbox.Level) {
		b := newBorg(t, s, l, true)
		b.run("init", "-e", "none")
		holder := b.hold()
		second := b.command("--lock-wait", "1", "create", "::second", b.source)
		// The cache has a lock too, and here it is about the other.
		second.Env = append(second.Env, "BORG_BASE_DIR="+b.source+".second")
		out, err := second.CombinedOutput()
		if want := "Failed to create/acquire the lock " + b.repo + "/lock"; err == nil || !strings.Contains(string(out), want) {
			t.Errorf("the second session was not refused: %v: %s", err, out)
		}
		holder.Process.Kill()
		holder.Wait()
		b.run("--lock-wait", "30", "create", "::third", b.source)
	})
}

// borgServer is a confined server of one repository, with its clients.
type borgServer struct {
	t            *testing.T
	s            starter
	repo, source string
	env          []string
}

func newBorg(t *testing.T, s starter, l sandbox.Level, hostPIDs bool) borgServer {
	base, client, server := yard(t, s)
	b := borgServer{t: t, s: s, repo: filepath.Join(server, "repo"), source: filepath.Join(client, "source")}
	tree(t, b.source, s)
	o := s.order(t, base, l)
	o.HostPIDs, o.Program = hostPIDs, "/usr/bin/borg"
	o.Env = []string{
		"HOME=/nonexistent", "BORG_BASE_DIR=/nonexistent", "BORG_HOST_ID=postern@test", "BORG_SELFTEST=disabled",
		"PYTHONNOUSERSITE=1", "LANG=C.UTF-8", "PATH=/usr/bin:/bin",
	}
	o.Paths = []sandbox.Path{{Path: server, Writable: true}}
	b.env = []string{
		"BORG_RSH=" + serve(t, base, o), "BORG_BASE_DIR=" + filepath.Join(client, "borg"), "BORG_REPO=ssh://x" + b.repo,
		"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes", "BORG_SELFTEST=disabled", "LANG=C.UTF-8",
	}
	return b
}

func (b borgServer) command(args ...string) *exec.Cmd {
	cmd := b.s.run(b.t, "/usr/bin/borg", args...)
	cmd.Env = append(cmd.Env, b.env...)
	return cmd
}

func (b borgServer) run(args ...string) string {
	return b.s.client(b.t, b.env, "/usr/bin/borg", args...)
}

// hold starts a client that holds the lock of the repository.
func (b borgServer) hold() *exec.Cmd {
	b.t.Helper()
	holder := b.command("create", "::first", "-")
	input, output, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { output.Close() })
	holder.Stdin = input
	err = holder.Start()
	input.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for unix.Access(filepath.Join(b.repo, "lock.exclusive"), 0) != nil {
		if time.Now().After(deadline) {
			holder.Process.Kill()
			b.t.Fatal("the first session takes no lock")
		}
		time.Sleep(time.Millisecond)
	}
	return holder
}

// Folders above a path that the child's user may not search are no obstacle with
// namespaces; without them the error says which one it is.
func TestClosedParent(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to close a folder to the child's user")
	}
	for _, l := range levels {
		base := publicDir(t)
		closed := filepath.Join(base, "closed")
		dir := filepath.Join(closed, "a", "rule")
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(closed, 0o700), os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		o := at(t, shell(t, `echo *`), l)
		o.User, o.Paths, o.Dir = asNobody(), []sandbox.Path{{Path: dir}}, dir
		if l.Includes(namespaces) {
			if got := output(t, o); got != "file\n" {
				t.Errorf("%s: %q", l, got)
			}
			continue
		}
		p, err := sandbox.Start(self, o)
		if err == nil {
			p.Wait()
		}
		if want := "may not enter " + closed + ", in which " + dir + " lies: let others search it"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", l, err, want)
		}
	}
}
