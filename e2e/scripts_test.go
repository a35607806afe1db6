package e2e

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// versions says which rsync is on which side.
type versions struct{ client, server string }

// asNow is today's rsync on both sides.
var asNow = versions{newRsync, newRsync}

// TestRsync runs testdata/rsync with rsync of today and with the older one on
// both sides, and what depends on both sides with each against the other. What
// is in there behaves as under sshd.
func TestRsync(t *testing.T) {
	mixed := named("rsync/push_pull", "rsync/incremental", "rsync/link_dest", "rsync/hard_links", "rsync/acls_xattrs", "rsync/compression",
		"rsync/names", "rsync/arguments", "rsync/wildcards", "rsync/protocols", "rsync/options")
	for v, files := range map[versions][]string{
		asNow: scripts(t, "rsync"), {oldRsync, oldRsync}: scripts(t, "rsync"), {oldRsync, newRsync}: mixed, {newRsync, oldRsync}: mixed,
	} {
		t.Run(v.client+"-to-"+v.server, func(t *testing.T) {
			t.Parallel()
			runScripts(t, files, set{versions: v, manner: atFull, baseline: onlyBaseline()})
		})
	}
}

// borgModes are the ways in which borg 1 encrypts.
var borgModes = []string{"none", "authenticated", "authenticated-blake2", "repokey", "repokey-blake2", "keyfile", "keyfile-blake2"}

// TestBorgModes runs one script in every encryption mode that borg 1 has.
func TestBorgModes(t *testing.T) {
	for _, mode := range borgModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			runScripts(t, scripts(t, "borgmodes"), set{versions: asNow, manner: atFull, baseline: onlyBaseline(), env: []string{"mode=" + mode}})
		})
	}
}

// TestSame runs what else behaves as under sshd: large trees, other clients,
// killed ones, borg, recipes.
func TestSame(t *testing.T) {
	runScripts(t, scripts(t, "same"), set{versions: asNow, manner: atFull, baseline: onlyBaseline()})
}

// TestAsUnderSSHD runs against sshd, whatever the environment says, the scripts
// whose outcome is the least obvious.
func TestAsUnderSSHD(t *testing.T) {
	files := named("rsync/searchable_parent", "rsync/fifo_source", "rsync/single_file", "rsync/exit_status", "same/client_killed", "same/session_ends")
	runScripts(t, files, set{versions: asNow, manner: atFull, baseline: true})
	// As the owner of the folder.
	files = named("rsync/push_pull", "rsync/acls_xattrs", "rsync/hard_links", "rsync/options")
	runScripts(t, files, set{versions: asNow, manner: manner{level: full, owner: backupUser}, baseline: true})
}

// TestGate runs what only postern does.
func TestGate(t *testing.T) {
	if onlyBaseline() {
		return
	}
	runScripts(t, scripts(t, "gate"), set{versions: asNow, manner: atFull})
	runScripts(t, named("gate/links", "gate/quota"), set{versions: versions{oldRsync, oldRsync}, manner: atFull})
}

// manners are the other levels, and the other users, so that each of them has its
// turn.
var manners = []manner{
	{level: namespaces, owner: backupUser}, {level: landlock, gateway: backupUser}, {level: full, gateway: backupUser}, {level: none},
}

// restOfManners are the other pairs, which only -whole goes through.
var restOfManners = []manner{
	{level: namespaces}, {level: landlock}, {level: full, owner: backupUser}, {level: landlock, owner: backupUser}, {level: none, owner: backupUser},
	{level: namespaces, gateway: backupUser}, {level: none, gateway: backupUser},
}

// chosenManners are those of this run. Under sshd, which has no levels, it is the
// users alone.
func chosenManners() []manner {
	if onlyBaseline() {
		return []manner{{level: none, owner: backupUser}}
	}
	if *whole {
		return append(slices.Clone(manners), restOfManners...)
	}
	return manners
}

// whole repeats at every level and with every user what takes long, too: the scripts
// of onlyWhole, each encryption mode of borg, and all pairs of versions.
var whole = flag.Bool("whole", false, "leave nothing out at any level")

// onlyWhole are the scripts that only -whole repeats: the heaviest, and those that
// are about SSH or the gateway's own files, where no child is asked for more than a
// transfer.
var onlyWhole = named("same/one_gib", "same/many_files", "same/thirty_connections", "same/rekey", "same/borg_paths", "same/key_types",
	"same/dropbear", "same/plink", "same/paramiko", "same/control_master", "gate/certificates", "gate/whoami", "gate/logins", "gate/admission", "gate/client_limits",
	"gate/nothing_else", "gate/odd_commands", "gate/borg_refused", "gate/changes", "gate/control", "gate/door", "gate/folded", "gate/forged", "gate/full_disk",
	"gate/drain", "gate/one_writer", "gate/proxied", "gate/reload", "gate/revoked", "gate/sent", "gate/summary", "gate/trail", "gate/two_gateways", "gate/upgrade")

// TestManners runs every script at every level of confinement, and as the users
// that a gateway and its children can be. What differs a script says itself, by
// a condition.
func TestManners(t *testing.T) {
	for _, m := range chosenManners() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			s := set{versions: asNow, manner: m, baseline: onlyBaseline(), binary: os.Getenv(envPlain), env: []string{"mode=repokey-blake2"}}
			files := slices.Concat(scripts(t, "rsync"), scripts(t, "borgmodes"), scripts(t, "same"))
			if !onlyBaseline() {
				files = append(files, scripts(t, "gate")...)
			}
			runScripts(t, slices.DeleteFunc(files, func(file string) bool { return !*whole && slices.Contains(onlyWhole, file) }), s)
			if !onlyBaseline() {
				s.versions = versions{oldRsync, oldRsync}
				runScripts(t, named("gate/links", "gate/unheld"), s)
			}
			if *whole {
				runRest(t, s)
			}
		})
	}
}

// runRest runs what depends on a mode or on a version once more, in all of them.
func runRest(t *testing.T, s set) {
	for _, mode := range borgModes {
		s.env = []string{"mode=" + mode}
		runScripts(t, scripts(t, "borgmodes"), s)
	}
	for _, v := range []versions{{oldRsync, oldRsync}, {oldRsync, newRsync}, {newRsync, oldRsync}} {
		s.versions = v
		runScripts(t, scripts(t, "rsync"), s)
	}
}

// named are scripts below testdata.
func named(names ...string) []string {
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join("testdata", name+".txtar"))
	}
	return files
}

// scripts lists a folder of testdata; a folder without scripts is a mistake.
func scripts(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata/%s: %v", folder, err)
	}
	return files
}

// set is what a run of scripts has in common.
type set struct {
	versions
	manner
	baseline bool
	binary   string // postern, if not the one with the race detector
	env      []string
}

// runScripts runs each file as a parallel subtest in a world of its own.
func runScripts(t *testing.T, files []string, s set) {
	t.Helper()
	if !s.baseline {
		mustHave(t, s.manner)
	}
	testscript.Run(t, testscript.Params{
		Files:              files,
		WorkdirRoot:        workdirRoot(t),
		Cmds:               allVerbs(),
		Setup:              s.setup,
		Condition:          s.condition,
		RequireUniqueNames: true,
	})
}

func allVerbs() map[string]verb {
	all := verbs()
	maps.Copy(all, gateVerbs())
	return all
}

// workdirRoot is a folder that a server of another user can pass.
func workdirRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp(os.Getenv(envRoot), "run-")
	if err == nil {
		err = os.Chmod(root, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// setup gives a script its world, and takes it down with all checks of what was
// left behind.
func (s set) setup(env *testscript.Env) error {
	if err := os.Chmod(env.WorkDir, 0o755); err != nil {
		return err
	}
	w, err := newWorld(env.WorkDir, s.baseline, s.manner)
	if err != nil {
		return err
	}
	if s.binary != "" {
		w.binary = s.binary
	}
	w.clientRsync, w.serverRsync = s.client, s.server
	if err := w.useRsync(); err != nil {
		return err
	}
	env.Values["world"] = w
	for _, pair := range append(w.env(), s.env...) {
		name, value, _ := strings.Cut(pair, "=")
		env.Setenv(name, value)
	}
	env.Setenv("rsync_old", w.tools["rsync-"+oldRsync])
	env.Setenv("rsync_new", w.tools["rsync-"+newRsync])
	env.Setenv("postern", w.binary)
	tb := env.T().(testing.TB)
	guard := time.AfterFunc(scriptTime, func() { w.giveUp(tb) })
	env.Defer(func() {
		guard.Stop()
		if err := w.close(!tb.Failed()); err != nil {
			tb.Error(err)
		}
		if !tb.Failed() {
			os.RemoveAll(env.WorkDir)
		}
	})
	return nil
}

// scriptTime is how long one script may take. A script that hangs is stopped,
// so that its log tells where.
const scriptTime = 3 * time.Minute

// giveUp kills what the script runs.
func (w *world) giveUp(tb testing.TB) {
	left := strays(w.work)
	tb.Errorf("the script hangs; killed after %s:\n%s", scriptTime, describe(left))
	for _, p := range left {
		syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

// condition lets a script say what only one of the two servers does.
func (s set) condition(name string) (bool, error) {
	switch name {
	case "sshd":
		return s.baseline, nil
	case "postern":
		return !s.baseline, nil
	case full, namespaces, landlock, none:
		return !s.baseline && s.level == name, nil
	case "held": // nothing can be opened outside
		return !s.baseline && s.level != none, nil
	case "blind": // nothing can be seen outside
		return !s.baseline && (s.level == full || s.level == namespaces), nil
	case "userns": // the children are in a user namespace
		return !s.baseline && s.gateway != root && s.level != landlock && s.level != none, nil
	case "root":
		return s.children() == root, nil
	case "root-gateway":
		return s.gateway == root, nil
	case "in-place": // rsync 3.2.7 leaves files that are read-only to its user alone
		return s.children() == root || s.server == newRsync, nil
	case "rsync-new-client":
		return s.client == newRsync, nil
	case "rsync-new-server":
		return s.server == newRsync, nil
	}
	return false, os.ErrInvalid
}
