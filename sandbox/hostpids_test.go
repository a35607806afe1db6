package sandbox_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"postern/sandbox"
)

// What differs for a child that has its number on the host: it learns of others,
// and is held more closely, for lack of a namespace that would end with it.
var (
	learnt      = []string{"ask whether a process lives"}
	heldClosely = append([]string{"leave its group (a namespace of processes ends with the session even so)"}, signals...)
)

func TestHostPIDsStopAsMuch(t *testing.T) {
	for _, s := range starters() {
		for _, l := range levels {
			t.Run(s.name+"/"+l.String(), func(t *testing.T) {
				t.Parallel()
				s := s.strange()
				base := battlefield(t, s.child)
				o := s.order(t, base, l)
				o.HostPIDs = true
				got := s.attack(t, base, o, true)
				for _, a := range attacks() {
					want := a.succeeds(l, true, s.child.UID == 0) && !slices.Contains(heldClosely, a.name) || slices.Contains(learnt, a.name)
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
