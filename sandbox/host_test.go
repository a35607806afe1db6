package sandbox_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/sandbox"
)

func TestProbeSaysWhatIsMissing(t *testing.T) {
	a := sandbox.Probe(self)
	t.Logf("this host gives %s; %q", a, a.Hints)
	if (a.Level == full) != (len(a.Hints) == 0) {
		t.Errorf("%s with the hints %q", a, a.Hints)
	}
}

// A container whose filter forbids namespaces has Landlock alone. The child gets
// that where it is enough, and does not run where it is not.
func TestContainerDegradesAsFarAsItMay(t *testing.T) {
	for _, s := range starters() {
		t.Run(s.name, func(t *testing.T) {
			base := battlefield(t, s.child)
			s.order(t, base, landlock)
			ask := func(words ...string) (string, error) {
				out, err := s.run(t, filepath.Join(base, "program"), append([]string{containerVerb}, words...)...).CombinedOutput()
				return string(out), err
			}
			if out, err := ask("probe"); err != nil || out != "landlock" {
				t.Errorf("the container gives %q, %v", out, err)
			}
			child := s.child
			o := sandbox.Order{
				Program: filepath.Join(base, "program"), Args: []string{"program", attackVerb}, Dir: "/", User: &child,
				Limits: sandbox.Limits{Memory: enough},
			}
			for least, want := range map[sandbox.Level]bool{none: true, landlock: true, namespaces: false, full: false, 0: false} {
				o.Least = least
				text, err := json.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				out, err := ask(string(text))
				if (err == nil) != want || !want && !strings.Contains(out, sandbox.ErrConfinement.Error()) {
					t.Errorf("at least %s: %v %s", least, err, out)
				}
			}
		})
	}
}

// Root whose CAP_SYS_ADMIN is gone still has namespaces where user namespaces
// are allowed, and its child is still the user that the order names.
func TestRootWithoutAdministration(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs root and setpriv")
	}
	s := starters()[0]
	base := battlefield(t, s.child)
	o := s.order(t, base, full)
	o.Program = filepath.Join(base, "program")
	o.Args = []string{o.Program, attackVerb, base, strconv.Itoa(startBystander(t, s, base))}
	o.Paths = []sandbox.Path{{Path: filepath.Join(base, "rule"), Writable: true}}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	// What Docker leaves to root.
	const kept = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+sys_chroot,+mknod,+setfcap"
	var complaint strings.Builder
	cmd := s.run(t, setpriv, "--bounding-set", kept, o.Program, gatewayVerb, string(text))
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if strings.Contains(complaint.String(), sandbox.ErrConfinement.Error()) {
		t.Skipf("this kernel gives root no user namespace without CAP_SYS_ADMIN: %s", &complaint)
	}
	var got []string
	if err := errors.Join(err, json.Unmarshal(out, &got)); err != nil {
		t.Fatalf("%v: %s", err, &complaint)
	}
	compare(t, got, full, true)
}

// Linux 5.19 to 6.1 has a Landlock that does not know truncation, nor signals.
// The filter sees to the one; the other is open.
func TestOlderLandlock(t *testing.T) {
	for _, s := range starters() {
		if s.child.UID == 0 {
			continue
		}
		for _, abi := range []int{2, 3, 4, 5, 6} {
			for _, writable := range []bool{true, false} {
				t.Run(s.name+"/"+strconv.Itoa(abi)+"/writable="+strconv.FormatBool(writable), func(t *testing.T) {
					t.Parallel()
					base := battlefield(t, s.child)
					o := s.order(t, base, landlock)
					o.Program = filepath.Join(base, "program")
					o.Args = []string{o.Program, attackVerb, base, strconv.Itoa(startBystander(t, s, base))}
					o.Paths = []sandbox.Path{{Path: filepath.Join(base, "rule"), Writable: writable}}
					text, err := json.Marshal(o)
					if err != nil {
						t.Fatal(err)
					}
					out, _ := s.run(t, o.Program, gatewayVerb, string(text), strconv.Itoa(abi)).Output()
					var got []string
					if err := json.Unmarshal(out, &got); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
					if abi < 6 {
						got = slices.DeleteFunc(got, func(name string) bool { return slices.Contains(signals, name) })
					}
					if abi < 3 && writable {
						// The filter cannot tell where.
						got = append(got, "cut short in the rule's path")
					}
					compare(t, got, landlock, writable)
				})
			}
		}
	}
}

// compare wants what the table says.
func compare(t *testing.T, got []string, l sandbox.Level, writable bool) {
	t.Helper()
	for _, a := range attacks {
		expected := a.reading
		if writable {
			expected = a.writing
		}
		if want := slices.Contains(expected, l); slices.Contains(got, a.name) != want {
			t.Errorf("%s: succeeds %v, want %v", a.name, !want, want)
		}
	}
}
