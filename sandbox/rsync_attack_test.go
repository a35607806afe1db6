package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/sandbox"
)

// rsyncAttack is an option or a trick that the argument checks refuse, and that
// the kernel must hold when they do not.
type rsyncAttack struct {
	name string
	// args are the client's, before the paths.
	args []string
	// pull says which way the files go.
	pull bool
	// harm reports whether the attack has succeeded. at is the place that
	// has the rule's path, the outside and the client's folders.
	harm func(at, output string) bool
}

var rsyncAttacks = []rsyncAttack{
	{"B copy links on a pull", []string{"-aL"}, true, leaked},
	{"B copy unsafe links on a pull", []string{"-a", "--copy-unsafe-links"}, true, leaked},
	{"B follow a planted link to a folder on a push", []string{"-aK", "--no-implied-dirs"}, false, wroteOutside},
	{"B log into another folder", []string{"-a", "-M--log-file=OUTSIDE/new"}, false, wroteOutside},
	{"B temporary files in another folder", []string{"-a", "-M--temp-dir=OUTSIDE", "-M--partial-dir=OUTSIDE"}, false, wroteOutside},
	{"B backups into another folder", []string{"-a", "-M--backup", "-M--backup-dir=OUTSIDE", "-I"}, false, wroteOutside},
	{"D2 merge file in the protocol", []string{"-a", "-f:s ../outside/secret"}, true, leaked},
	{"D3 names through a planted link", []string{"-aR", "--files-from=NAMES"}, true, leaked},
	{"F12 options in the home folder", []string{"-a", "--rsync-path=rsync x"}, false, wroteOutside},
}

func leaked(at, output string) bool {
	if strings.Contains(output, "TOP-SECRET") {
		return true
	}
	found := false
	filepath.WalkDir(filepath.Join(at, "client", "back"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, _ := os.ReadFile(path)
			found = found || strings.Contains(string(data), "TOP-SECRET")
		}
		return nil
	})
	return found
}

// wroteOutside reports whether anything but the secret is there.
func wroteOutside(at, _ string) bool {
	list, err := os.ReadDir(filepath.Join(at, "outside"))
	return err != nil || len(list) != 1
}

// Whatever an rsync that nobody patched is told to do, it does within the rule's
// path. At level none most of it works, which shows that these are attacks.
func TestRsyncReachesNothingOutside(t *testing.T) {
	for _, program := range rsyncs(t) {
		for _, l := range levels {
			t.Run(fmt.Sprintf("%s/%s", strings.Trim(program, "/"), l), func(t *testing.T) {
				t.Parallel()
				testRsyncAttacks(t, program, l)
			})
		}
	}
}

func testRsyncAttacks(t *testing.T, program string, l sandbox.Level) {
	s := starters()[0]
	base, _, _ := yard(t, s)
	o := s.order(t, base, l)
	works := 0
	for _, a := range rsyncAttacks {
		if !rsyncHarms(t, s, program, a, o) {
			continue
		}
		if works++; l != none {
			t.Errorf("%s at %s: %s", program, l, a.name)
		}
	}
	if l == none && works < 3 {
		t.Errorf("%s: only %d of the attacks work at level none", program, works)
	}
	t.Logf("%s at %s: %d of %d attacks work", program, l, works, len(rsyncAttacks))
}

func rsyncHarms(t *testing.T, s starter, program string, a rsyncAttack, o sandbox.Order) bool {
	base, client, server := yard(t, s)
	outside := filepath.Join(base, "outside")
	err := errors.Join(
		os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "secret"), []byte("TOP-SECRET\n"), 0o600),
		os.Symlink("../outside", filepath.Join(server, "planted")), os.WriteFile(filepath.Join(server, "old"), []byte("old"), 0o600),
		os.MkdirAll(filepath.Join(client, "source", "planted"), 0o755),
		os.WriteFile(filepath.Join(client, "source", "planted", "pushed"), []byte("pushed"), 0o600),
		os.WriteFile(filepath.Join(client, "source", "old"), []byte("new one"), 0o600),
		os.WriteFile(filepath.Join(server, "run"), []byte("#!/bin/sh\necho > "+outside+"/ran\n"), 0o700),
		os.WriteFile(filepath.Join(server, ".popt"), []byte("rsync exec x "+server+"/run\n"), 0o600),
		os.WriteFile(filepath.Join(client, "names"), []byte("planted/secret\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	chown(t, outside, s.child)
	chown(t, server, s.child)
	o.Program, o.Env, o.Dir = filepath.Join(base, "rsync"), []string{"HOME=" + server}, server
	copyFile(t, program, o.Program)
	o.Paths = []sandbox.Path{{Path: server, Writable: true}}
	args := []string{"-e", serve(t, base, o)}
	for _, arg := range a.args {
		args = append(args, strings.NewReplacer("OUTSIDE", outside, "NAMES", filepath.Join(client, "names")).Replace(arg))
	}
	from, to := filepath.Join(client, "source")+"/", "x:"+server+"/"
	if a.pull {
		from, to = to, filepath.Join(client, "back")+"/"
	}
	output, _ := s.run(t, "/usr/bin/rsync", append(args, from, to)...).CombinedOutput()
	return a.harm(base, string(output))
}
