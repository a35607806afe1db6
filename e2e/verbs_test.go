package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
)

// verb is a command of the scripts; neg says that it was called with "!".
type verb = func(ts *testscript.TestScript, neg bool, args []string)

// plain makes a verb of a function that cannot be negated.
func plain(f func(ts *testscript.TestScript, w *world, args []string) error) verb {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		ts.Check(f(ts, worldOf(ts), args))
	}
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

// verbs are what scripts have beside the commands of testscript itself.
func verbs() map[string]verb {
	return map[string]verb{
		"key":         plain(verbKey),
		"client":      plain(verbClient),
		"config":      plain(verbConfig),
		"server":      plain(verbServer),
		"host":        plain(verbHost),
		"cut":         plain(verbCut),
		"front":       plain(verbFront),
		"mktree":      plain(verbTree),
		"mkfile":      plain(verbFile),
		"mksparse":    plain(verbSparse),
		"mkfifo":      plain(verbFIFO),
		"nextday":     plain(verbNextDay),
		"settimes":    plain(verbSetTimes),
		"own":         plain(verbOwn),
		"sametree":    plain(verbSameTree),
		"odd-names":   plain(verbOddNames),
		"samefile":    verbSameFile,
		"occupies":    plain(verbOccupies),
		"status":      plain(verbStatus),
		"refused":     plain(verbRefused),
		"rejected":    plain(verbRejected),
		"unchanged":   plain(verbUnchanged),
		"contained":   plain(verbContained),
		"idle":        plain(verbIdle),
		"await-child": plain(verbAwaitChild),
		"await-file":  plain(verbAwaitFile),
		"kill-tree":   plain(verbKillTree),
		"logged":      plain(verbLogged),
		"accounted":   plain(verbAccounted),
		"sends":       plain(verbSends),
	}
}

// verbKey: key NAME TYPE[:BITS] makes a key pair.
func verbKey(_ *testscript.TestScript, w *world, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: key NAME TYPE[:BITS]")
	}
	return w.makeKey(args[0], args[1])
}

// verbClient: see [world.addClient].
func verbClient(_ *testscript.TestScript, w *world, args []string) error {
	_, err := w.addClient(args...)
	return err
}

// verbConfig: config LINE adds a line to postern.yaml.
func verbConfig(_ *testscript.TestScript, w *world, args []string) error {
	w.config = append(w.config, args...)
	return nil
}

// verbServer: server [-rsync VERSION] [-program FILE] [-uid N] [-at PATH=FOLDER] [RULE...]
// starts the server. Rules make a client "laptop" with a new key.
func verbServer(ts *testscript.TestScript, w *world, args []string) error {
	for len(args) >= 2 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-rsync":
			w.serverRsync = args[1]
		case "-program":
			w.program = ts.MkAbs(args[1])
			if err := os.Chmod(w.program, 0o755); err != nil {
				return err
			}
		case "-uid":
			uid, err := strconv.Atoi(args[1])
			if err != nil {
				return err
			}
			w.gateway = uid
		case "-at":
			at, folder, _ := strings.Cut(args[1], "=")
			w.folders = append(w.folders, at+"="+w.path(folder))
			if err := os.MkdirAll(w.path(folder), 0o755); err != nil {
				return err
			}
		default:
			return fmt.Errorf("no flag %s", args[0])
		}
		args = args[2:]
	}
	if len(args) > 0 {
		if _, err := w.addClient(append([]string{"laptop"}, args...)...); err != nil {
			return err
		}
	}
	if err := w.start(); err != nil {
		return err
	}
	return w.tellScript(ts)
}

// tellScript puts into the environment what clients need that read no ssh_config.
func (w *world) tellScript(ts *testscript.TestScript) error {
	_, port, err := splitAddress(w.server.Address())
	if err != nil {
		return err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(w.server.HostKey()))
	if err != nil {
		return err
	}
	ts.Setenv("PORT", port)
	ts.Setenv("HOSTLINE", w.server.HostKey())
	ts.Setenv("HOSTKEY", ssh.FingerprintSHA256(public))
	return nil
}

// verbHost: host LINE... adds a block to ssh_config, before the others.
// SERVER stands for the server's host:port.
func verbHost(_ *testscript.TestScript, w *world, args []string) error {
	block := strings.Join(args, "\n")
	w.hosts = append(w.hosts, strings.ReplaceAll(block, "SERVER", w.server.Address()))
	return w.writeHosts()
}

// verbCut: cut HOST up|down BYTES makes HOST a way to the server that is cut
// once that many bytes have passed.
func verbCut(ts *testscript.TestScript, w *world, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: cut HOST up|down BYTES")
	}
	bytes, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	c, err := newCutter(w.server.Address(), bytes, args[1] == "up")
	if err != nil {
		return err
	}
	w.ways = append(w.ways, c)
	return w.leadTo(ts, args[0], c.listener)
}

// verbFront: front HOST v1|v2 SOURCE FROM makes HOST a way to the server by a proxy at
// the address FROM, which says that it connects for SOURCE.
func verbFront(ts *testscript.TestScript, w *world, args []string) error {
	if len(args) != 4 {
		return errors.New("usage: front HOST v1|v2 SOURCE FROM")
	}
	header, err := proxyHeader(args[1], args[2])
	if err != nil {
		return err
	}
	f, err := newFront(w.server.Address(), args[3], header)
	if err != nil {
		return err
	}
	w.ways = append(w.ways, f)
	return w.leadTo(ts, args[0], f.listener)
}

// leadTo makes a host of what listens, with the key of the first client.
func (w *world) leadTo(ts *testscript.TestScript, host string, l net.Listener) error {
	_, port, err := splitAddress(l.Addr().String())
	if err != nil {
		return err
	}
	return verbHost(ts, w, []string{"Host " + host, "  Port " + port, "  IdentityFile " + w.path("keys/"+w.clients[0].keys[0])})
}

// verbStatus: status N COMMAND ARG... runs a command that must end so. N may be
// several numbers with "|" between them.
func verbStatus(ts *testscript.TestScript, _ *world, args []string) error {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		return err
	}
	ts.Logf("[stdout]\n%s[stderr]\n%s", ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	if !slices.Contains(strings.Split(args[0], "|"), strconv.Itoa(got)) {
		return fmt.Errorf("exit status %d, not %s", got, args[0])
	}
	return nil
}

// verbRefused: refused N COMMAND ARG... runs a command that the gateway must
// refuse: with this exit status and its one line, and without having started a
// process or touched anything.
func verbRefused(ts *testscript.TestScript, w *world, args []string) error {
	before, err := w.mark()
	if err != nil {
		return err
	}
	if err := verbStatus(ts, w, args); err != nil {
		return err
	}
	if err := refusalLine(ts.ReadFile("stderr")); err != nil {
		return err
	}
	return before.nothingHappened(w)
}

// verbRejected: rejected COMMAND ARG... runs an ssh command for which there is
// no login.
func verbRejected(ts *testscript.TestScript, w *world, args []string) error {
	before, err := w.mark()
	if err != nil {
		return err
	}
	if err := verbStatus(ts, w, append([]string{"255|12|2|1"}, args...)); err != nil {
		return err
	}
	if !strings.Contains(ts.ReadFile("stderr"), "Permission denied (publickey)") {
		return errors.New(`stderr does not say "Permission denied (publickey)"`)
	}
	return before.nothingHappened(w)
}

// verbUnchanged: unchanged COMMAND ARG... runs a command, whatever its result,
// and fails when anything on the server's disk has changed.
func verbUnchanged(ts *testscript.TestScript, w *world, args []string) error {
	before, err := w.mark()
	if err != nil {
		return err
	}
	return before.whileRunning(ts, args)
}

// verbContained: contained COMMAND ARG... is unchanged for all that no rule is
// about.
func verbContained(ts *testscript.TestScript, w *world, args []string) error {
	before, err := w.markOf(w.path("outside"), w.path("gw/clients.d"), w.path("gw/postern.yaml"))
	if err != nil {
		return err
	}
	return before.whileRunning(ts, args)
}

// whileRunning runs a command, whatever its result, and fails when what was marked
// has changed.
func (m mark) whileRunning(ts *testscript.TestScript, args []string) error {
	var exit *exec.ExitError
	if err := ts.Exec(args[0], args[1:]...); err != nil && !errors.As(err, &exit) {
		return err
	}
	ts.Logf("[stdout]\n%s[stderr]\n%s", ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	return m.nothingChanged()
}

// verbIdle waits until the server has ended all that it started.
func verbIdle(_ *testscript.TestScript, w *world, _ []string) error {
	if p, ok := w.server.(*postern); ok {
		return p.idle()
	}
	return until(func() (bool, string) {
		left := strays(w.work)
		return len(left) == 0, "these processes are left:\n" + describe(left)
	})
}

// verbAwaitChild: await-child WORD waits until the server runs a process whose
// arguments have the word.
func verbAwaitChild(_ *testscript.TestScript, w *world, args []string) error {
	return until(func() (bool, string) {
		for _, p := range w.serverSide() {
			if strings.Contains(p.text, args[0]) {
				return true, ""
			}
		}
		return false, "the server runs no " + args[0]
	})
}

// verbAwaitFile: await-file GLOB [SIZE] waits for a file of at least that size.
func verbAwaitFile(ts *testscript.TestScript, _ *world, args []string) error {
	size := int64(0)
	if len(args) > 1 {
		var err error
		if size, err = strconv.ParseInt(args[1], 10, 64); err != nil {
			return err
		}
	}
	return until(func() (bool, string) {
		found, _ := filepath.Glob(ts.MkAbs(args[0]))
		for _, path := range found {
			if info, err := os.Lstat(path); err == nil && info.Size() >= size {
				return true, ""
			}
		}
		return false, "no file " + args[0]
	})
}

// verbKillTree: kill-tree kills all commands in the background, and whatever
// they started, at once and with SIGKILL: the machine lost its power.
func verbKillTree(ts *testscript.TestScript, _ *world, _ []string) error {
	for _, cmd := range ts.BackgroundCmds() {
		family := append(descendants(cmd.Process.Pid), process{pid: cmd.Process.Pid})
		for _, p := range family {
			syscall.Kill(p.pid, syscall.SIGSTOP)
		}
		for _, p := range family {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	return nil
}

// verbLogged: logged TEXT... waits for a record of the gateway with all of them.
func verbLogged(_ *testscript.TestScript, w *world, args []string) error {
	p, ok := w.server.(*postern)
	if !ok {
		return errors.New("only postern keeps records")
	}
	_, err := p.log.await(0, func(line string) bool {
		return !slices.ContainsFunc(args, func(text string) bool { return !strings.Contains(line, text) })
	})
	if err != nil {
		return fmt.Errorf("%q: %w", args, err)
	}
	return nil
}
