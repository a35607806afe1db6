package sandbox_test

import (
	"encoding/json"
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

// settings are the places in which a gateway runs, with what it finds there on a
// host that gives everything to root, and what would give it more.
var settings = []struct {
	starter
	level sandbox.Level
	hints []string
}{
	{starter{name: "root", child: nobody}, full, nil},
	{starter{name: "user", gateway: nobody, child: nobody}, full, nil},
	{
		starter{name: "user without user namespaces", gateway: nobody, child: nobody, within: []string{"PROGRAM", containerVerb}},
		landlock, []string{"run the gateway as root with CAP_SYS_ADMIN"},
	},
	{
		starter{name: "root of a container", child: nobody, within: []string{"setpriv", "--bounding-set", containerCapabilities}},
		full, nil,
	},
	{
		starter{name: "root of a container without user namespaces", child: nobody, within: []string{
			"setpriv", "--bounding-set", containerCapabilities, "PROGRAM", containerVerb,
		}},
		landlock, []string{"--cap-add SYS_ADMIN"},
	},
	{
		starter{name: "root of a container that has its fill of user namespaces", child: nobody, within: []string{
			"PROGRAM", crowdVerb, "setpriv", "--bounding-set", containerCapabilities,
		}},
		landlock, []string{"--cap-add SYS_ADMIN", "sysctl user.max_user_namespaces=1024"},
	},
}

// containerCapabilities are those that Docker leaves to root.
const containerCapabilities = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"

// Wherever the gateway runs it finds what it can give, says what would give it
// more, and gives that: to attackers, rsync and borg alike.
func TestSettings(t *testing.T) {
	if _, err := exec.LookPath("setpriv"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root, who can be anybody, and setpriv")
	}
	if a := sandbox.Probe(self); a.Level != full {
		t.Skipf("needs a host that gives everything to root, and this gives %s", a)
	}
	for _, c := range settings {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.strange()
			base := battlefield(t, s.child)
			a := s.probe(t, base)
			if a.Level != c.level {
				t.Fatalf("gives %s and not %s: %q", a, c.level, a.Hints)
			}
			for _, hint := range c.hints {
				if !strings.Contains(strings.Join(a.Hints, "\n"), hint) {
					t.Errorf("the hint %q is not among %q", hint, a.Hints)
				}
			}
			if len(c.within) == 0 {
				return // what these give is attacked and used at every level
			}
			for _, writable := range []bool{true, false} {
				base := battlefield(t, s.child)
				compare(t, s.attack(t, base, s.order(t, base, c.level), writable), c.level, writable, s.child.UID == 0)
			}
			testRsync(t, c.starter, c.level, "/usr/bin/rsync")
			b := newBorg(t, c.starter, c.level)
			b.run("init", "-e", "none")
			b.run("create", "::one", b.source)
			if list := b.run("list", "--short", "::one"); !strings.Contains(list, "source/a/b/large") {
				t.Errorf("the archive contains %s", list)
			}
		})
	}
}

// What a container gives is enough where that much was asked for. Where it is
// not, nothing runs.
func TestContainerDegradesAsFarAsItMay(t *testing.T) {
	for _, s := range starters() {
		t.Run(s.name, func(t *testing.T) {
			s.within = []string{"PROGRAM", containerVerb}
			base := publicDir(t)
			copyFile(t, self, filepath.Join(base, "program"))
			s.order(t, base, landlock)
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
				words := s.words(base, gatewayVerb, string(text))
				out, err := s.run(t, words[0], words[1:]...).CombinedOutput()
				if (err == nil) != want || !want && !strings.Contains(string(out), sandbox.ErrConfinement.Error()) {
					t.Errorf("at least %s: %v %s", least, err, out)
				}
			}
		})
	}
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
					s := s.strange()
					s.abi = strconv.Itoa(abi)
					base := battlefield(t, s.child)
					got := s.attack(t, base, s.order(t, base, landlock), writable)
					if abi < 6 {
						got = slices.DeleteFunc(got, func(name string) bool { return slices.Contains(signals, name) })
					}
					if abi < 3 && writable {
						// The filter cannot tell where.
						got = append(got, "cut short")
					}
					compare(t, got, landlock, writable, false)
				})
			}
		}
	}
}
