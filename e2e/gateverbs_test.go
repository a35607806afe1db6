package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// gateVerbs are the verbs that only make sense with postern.
func gateVerbs() map[string]verb {
	return map[string]verb{
		"authorities":  plain(verbAuthorities),
		"certified":    plain(verbCertified),
		"forwarded":    plain(verbForwarded),
		"attack-files": plain(verbAttackFiles),
		"quickstart":   plain(verbQuickStart),
		"stop-server":  plain(verbStopServer),
		"serve-again":  plain(verbServeAgain),
		"log-server":   plain(verbLogServer),
		"tell-server":  plain(verbTellServer),
		"server-ends":  plain(verbServerEnds),
		"end-server":   plain(verbEndServer),
		"hang-up":      plain(verbHangUp),
		"unlogged":     plain(verbUnlogged),
		"no-server":    plain(verbNoServer),
		"disk":         plain(verbDisk),
		"fill-disk":    plain(verbFillDisk),
		"remount":      plain(verbRemount),
		"own-binary":   plain(verbOwnBinary),
		"newest":       plain(verbNewest),
		"slim":         plain(verbSlim),
	}
}

// verbServeAgain: serve-again starts the gateway that stop-server ended.
func verbServeAgain(_ *testscript.TestScript, w *world, _ []string) error {
	p := w.server.(*postern)
	if !p.over {
		return errors.New("the gateway runs")
	}
	if err := p.serve(); err != nil {
		return err
	}
	p.over = false
	return w.writeHosts()
}

// verbStopServer: stop-server TERM|KILL ends the gateway while it works; nothing
// that it started may outlive it for long.
func verbStopServer(_ *testscript.TestScript, w *world, args []string) error {
	p := w.server.(*postern)
	signal := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[args[0]]
	children := descendants(p.pid())
	if len(children) == 0 {
		return errors.New("the gateway has no children that could outlive it")
	}
	if err := p.cmd.Process.Signal(signal); err != nil {
		return err
	}
	return w.serverEnds(p, signal)
}

// verbTellServer: tell-server tells the gateway to stop, and does not wait for that.
func verbTellServer(_ *testscript.TestScript, w *world, _ []string) error {
	return w.server.(*postern).cmd.Process.Signal(syscall.SIGTERM)
}

// verbServerEnds: server-ends waits until the gateway has ended by itself.
func verbServerEnds(_ *testscript.TestScript, w *world, _ []string) error {
	return w.serverEnds(w.server.(*postern), syscall.SIGTERM)
}

// serverEnds waits for the end of a gateway that got a signal, and of all that it
// started.
func (w *world) serverEnds(p *postern, signal syscall.Signal) error {
	p.over = true
	select {
	case err := <-p.ended:
		if signal == syscall.SIGTERM && err != nil {
			return fmt.Errorf("postern serve: %w\n%s", err, p.log.tail(20))
		}
	case <-time.After(patience):
		return errors.New("postern serve does not end")
	}
	return until(func() (bool, string) {
		left := strays(w.work)
		return len(left) == 0, "these processes are left:\n" + describe(left)
	})
}

// verbEndServer: end-server ends the gateway as an init system does.
func verbEndServer(_ *testscript.TestScript, w *world, _ []string) error {
	p := w.server.(*postern)
	if err := p.Close(true); err != nil {
		return err
	}
	p.over = true
	return nil
}

// verbOwnBinary: own-binary FILE has the gateway run a copy of its binary, which a script
// may replace.
func verbOwnBinary(ts *testscript.TestScript, w *world, args []string) error {
	binary, err := os.ReadFile(w.binary)
	if err != nil {
		return err
	}
	w.binary = ts.MkAbs(args[0])
	ts.Setenv("postern", w.binary)
	return os.WriteFile(w.binary, binary, 0o755)
}

// verbNewest: newest waits until one gateway is left, by the control sockets, and takes
// that for the server from now on.
func verbNewest(_ *testscript.TestScript, w *world, _ []string) error {
	p := w.server.(*postern)
	return until(func() (bool, string) {
		sockets, err := filepath.Glob(w.path("gw/state/control/*.sock"))
		if err != nil || len(sockets) != 1 {
			return false, fmt.Sprintf("gateways: %q, %v", sockets, err)
		}
		p.newest, err = strconv.Atoi(strings.TrimSuffix(filepath.Base(sockets[0]), ".sock"))
		return err == nil && syscall.Kill(p.newest, 0) == nil, sockets[0] + " is of nobody"
	})
}

// verbHangUp: hang-up has the gateway read its files again.
func verbHangUp(_ *testscript.TestScript, w *world, _ []string) error {
	return w.server.(*postern).cmd.Process.Signal(syscall.SIGHUP)
}

// verbUnlogged: unlogged TEXT... fails when there is a record of the gateway with all
// of them by now.
func verbUnlogged(_ *testscript.TestScript, w *world, args []string) error {
	for line := range strings.Lines(w.server.(*postern).log.tail(1 << 20)) {
		if !slices.ContainsFunc(args, func(text string) bool { return !strings.Contains(line, text) }) {
			return fmt.Errorf("%q is on record: %s", args, line)
		}
	}
	return nil
}

// verbNoServer: no-server TEXT starts a gateway, which must fail with one line that
// has the text.
func verbNoServer(_ *testscript.TestScript, w *world, args []string) error {
	cmd := w.command("serve")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return err
	}
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer late.Stop()
	cmd.Wait() // what it says is in the state
	said := errs.String()
	if cmd.ProcessState.ExitCode() != 1 || out.Len() > 0 || !strings.HasPrefix(said, "postern: ") ||
		strings.Count(said, "\n") != 1 || !strings.Contains(said, args[0]) {
		return fmt.Errorf("%s: %s%s", cmd.ProcessState, out.String(), said)
	}
	return nil
}

// verbDisk: disk FOLDER SIZE makes the folder a disk of its own.
func verbDisk(_ *testscript.TestScript, w *world, args []string) error {
	folder := w.path(args[0])
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "mode=700,size="+args[1]); err != nil {
		return fmt.Errorf("a small disk at %s: %w", folder, err)
	}
	w.disks = append(w.disks, folder)
	return w.give(folder)
}

// verbRemount: remount FOLDER ro|rw keeps the disk at the folder from being written,
// or no longer.
func verbRemount(_ *testscript.TestScript, w *world, args []string) error {
	flags := map[string]uintptr{"ro": unix.MS_REMOUNT | unix.MS_RDONLY, "rw": unix.MS_REMOUNT}[args[1]]
	return unix.Mount("", w.path(args[0]), "", flags, "")
}

// verbFillDisk: fill-disk FILE fills the disk that the file is on.
func verbFillDisk(_ *testscript.TestScript, w *world, args []string) error {
	f, err := os.Create(w.path(args[0]))
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

// slimSize is what a gateway needs at most, in bytes, with one client at a time. The
// race detector takes several times as much.
const slimSize = 64 << 20

// verbSlim: slim fails when the gateway ever needed more memory than it should.
func verbSlim(_ *testscript.TestScript, w *world, _ []string) error {
	most := slimSize
	if raceEnabled && w.binary != os.Getenv(envPlain) {
		most *= 6
	}
	if peak := fieldsOf(fmt.Sprintf("/proc/%d/status", w.server.(*postern).pid()))["VmHWM"] << 10; peak == 0 || peak > most {
		return fmt.Errorf("the gateway needed %d bytes of memory at one time, more than %d", peak, most)
	}
	return nil
}

// verbAuthorities: authorities CA... trusts the keys of this name, and revokes
// the serial 77 and the key "revoked".
func verbAuthorities(_ *testscript.TestScript, w *world, args []string) error {
	var lines []string
	for _, name := range args {
		line, err := w.publicKey(name)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%q", line))
	}
	revoked, err := w.publicKey("revoked")
	if err != nil {
		return err
	}
	w.config = append(w.config, "certificates: {authorities: ["+strings.Join(lines, ", ")+"], revoked: revoked_keys}")
	return os.WriteFile(w.path("gw/revoked_keys"), []byte("# gone\nserial: 77\n"+revoked+"\n"), 0o600)
}

// verbCertified: certified FLAGS... signs keys/user.pub with ssh-keygen, with
// these flags, and fails if the gateway lets the certificate in.
func verbCertified(ts *testscript.TestScript, w *world, args []string) error {
	sign := exec.Command(w.tools["ssh-keygen"], append(append([]string{"-q"}, args...), "keys/user.pub")...)
	sign.Dir = w.work
	if out, err := sign.CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen %q: %w: %s", args, err, out)
	}
	return verbRejected(ts, w, []string{"ssh", "-i", "keys/user", "-o", "CertificateFile=keys/user-cert.pub", "nas"})
}

// verbForwarded: forwarded -L|-D lets a stock client listen and connects through
// it; nothing may come out on the other side.
func verbForwarded(_ *testscript.TestScript, w *world, args []string) error {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	reached := make(chan struct{}, 1)
	go func() {
		if conn, err := target.Accept(); err == nil {
			conn.Close()
			reached <- struct{}{}
		}
	}()
	defer target.Close()
	if err := w.throughForward(args[0], target.Addr().(*net.TCPAddr)); err != nil {
		return err
	}
	select {
	case <-reached:
		return fmt.Errorf("a connection came through ssh %s", args[0])
	default:
		return nil
	}
}

// throughForward connects through one forwarding and reads until it is closed.
func (w *world) throughForward(flag string, target *net.TCPAddr) error {
	network, address := "unix", w.path("forward.sock")
	spec := address + ":" + target.String()
	if flag == "-D" {
		// ssh takes a port here that somebody else chose.
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		network, address = "tcp", free.Addr().String()
		spec = address
		free.Close()
	}
	cmd := exec.Command(w.path("bin/ssh"), "-N", "-o", "ExitOnForwardFailure=yes", flag, spec, "nas")
	cmd.Env = append(os.Environ(), w.env()...)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var conn net.Conn
	if err := until(func() (ok bool, state string) {
		var err error
		conn, err = net.Dial(network, address)
		return err == nil, fmt.Sprint("ssh does not listen: ", err)
	}); err != nil {
		return err
	}
	defer conn.Close()
	if flag == "-D" {
		// SOCKS 5: no authentication, then connect to the target.
		port := target.Port
		conn.Write([]byte{5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, byte(port >> 8), byte(port)})
	}
	_, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		return err
	}
	return nil
}

// verbAttackFiles: attack-files FOLDER POPT PTH puts into the folder what rsync
// and python run when the folder is their HOME; it makes the file POPT or PTH.
func verbAttackFiles(ts *testscript.TestScript, w *world, args []string) error {
	folder := ts.MkAbs(args[0])
	cmd := exec.Command("/usr/bin/python3", "-c", "import site; print(site.getusersitepackages())")
	cmd.Env = []string{"HOME=/"}
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	pth := filepath.Join(folder, strings.TrimSpace(string(out)), "attack.pth")
	run := fmt.Sprintf("#!/bin/sh\ntouch '%s'\n", args[1])
	return errors.Join(
		write(filepath.Join(folder, "run.sh"), []byte(run), 0o755),
		write(filepath.Join(folder, ".popt"), []byte("rsync exec --server "+w.path("nas/run.sh")+"\n"), 0o644),
		write(pth, []byte(fmt.Sprintf("import os; open(%q, 'w')\n", args[2])), 0o644),
		write(filepath.Join(folder, ".bashrc"), []byte(run), 0o644),
		write(filepath.Join(folder, ".cvsignore"), []byte("*\n"), 0o644),
		write(filepath.Join(folder, "rsyncd.conf"), []byte("[all]\npath = /\n"), 0o644),
	)
}

// asksForLevel puts the world's level into the file that init wrote, where it is
// not the one that a host gives by itself.
func (w *world) asksForLevel() error {
	if w.level == full {
		return nil
	}
	file := w.path("gw/postern.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, key := range []string{"require", "most"} {
		before, after, found := strings.Cut(string(text), "#"+key+": full")
		if !found {
			return fmt.Errorf("init writes no %s that could be changed", key)
		}
		text = []byte(before + key + ": " + w.level + after)
	}
	return os.WriteFile(file, text, 0o600)
}

// verbQuickStart initialises, adds a client and serves, with the commands alone.
func verbQuickStart(ts *testscript.TestScript, w *world, _ []string) error {
	if err := w.makeKey("laptop", "ed25519"); err != nil {
		return err
	}
	user := w.children()
	if user == root {
		user = backupUser
	}
	for _, folder := range []string{"nas/laptop", "nas/laptop.borg"} {
		if err := errors.Join(os.Mkdir(w.path(folder), 0o755), os.Chown(w.path(folder), user, user)); err != nil {
			return err
		}
	}
	if err := w.give(w.path("gw")); err != nil {
		return err
	}
	p, err := initPostern(w)
	if err != nil {
		return err
	}
	if err := w.asksForLevel(); err != nil {
		return err
	}
	if _, err := w.postern("client", "add", "laptop", "--key", w.path("keys/laptop.pub"),
		"--rsync", w.path("nas/laptop"), "--borg", w.path("nas/laptop.borg")); err != nil {
		return err
	}
	if err := p.serve(); err != nil {
		return err
	}
	w.server = p
	w.clients = append(w.clients, &client{name: "laptop", keys: []string{"laptop"}})
	return errors.Join(w.writeHosts(), w.tellScript(ts))
}
