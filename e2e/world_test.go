package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// login is the name that stock clients log in with unless a client says other.
const login = "backup"

// world is what one script has: a folder, keys, clients, and a server with the
// ssh_config that leads to it.
//
//	nas/       what the rules are about; outside/ beside it must never change
//	keys/      private keys, NAME and NAME.pub
//	gw/        postern.yaml, clients.d and state, or what sshd needs instead
//	bin/       what the client machine's PATH finds first: ssh and rsync
//	home/      HOME of the client machine
//	tmp/       TMPDIR of the gateway
type world struct {
	work     string
	tools    toolPaths
	baseline bool

	clientRsync, serverRsync string
	program                  string // what the server takes for rsync, if no rsync

	clients []*client
	config  []string // further lines of postern.yaml, each of them whole
	folders []string // PATH=FOLDER: what only the server sees at PATH
	manner
	binary string // postern
	// environment is what it has beside what it needs.
	environment []string
	network     *network // of the gateway, if not the test's own
	clock       *clock   // what the gateway asks for the time of day, if not the host's

	server server
	hosts  []string               // further blocks of ssh_config
	ways   []interface{ close() } // proxies that lead to the server
	logs   *logServer
	disks  []string // where disks of their own are mounted
}

// server is postern, or the sshd that it is measured against.
type server interface {
	// Address is host:port.
	Address() string
	// HostKey is one line of authorized_keys syntax, without a comment.
	HostKey() string
	// Close ends the server and reports what it left behind.
	Close(clean bool) error
}

// newWorld lays out the folders of a world below work, which exists.
func newWorld(work string, baseline bool, m manner) (*world, error) {
	tools, err := findTools()
	if err != nil {
		return nil, err
	}
	w := &world{work: work, tools: tools, baseline: baseline, manner: m, binary: os.Getenv(envBinary), clientRsync: newRsync, serverRsync: newRsync}
	for _, name := range []string{"nas", "outside", "keys", "gw", "bin", "home", "server-bin"} {
		if err := os.Mkdir(w.path(name), 0o755); err != nil && !os.IsExist(err) {
			return nil, err
		}
	}
	if err := os.Chmod(w.path("home"), 0o700); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Mkdir(w.path("tmp"), 0o755), os.Chmod(w.path("tmp"), os.ModeSticky|0o777)); err != nil {
		return nil, err
	}
	// OpenSSH looks for its configuration in the home of passwd, not in HOME.
	for _, name := range []string{"ssh", "scp", "sftp"} {
		wrapper := fmt.Sprintf("#!/bin/sh\nexec %s -F '%s' \"$@\"\n", tools[name], w.path("ssh_config"))
		if err := os.WriteFile(w.path("bin/"+name), []byte(wrapper), 0o755); err != nil {
			return nil, err
		}
	}
	canary := []byte("nobody may change this\n")
	return w, os.WriteFile(w.path("outside/canary"), canary, 0o644)
}

// path returns name below the world's folder; an absolute name stays.
func (w *world) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(w.work, name)
}

// useRsync puts the rsync of each side in place.
func (w *world) useRsync() error {
	for link, program := range map[string]string{"bin/rsync": w.tools["rsync-"+w.clientRsync], "server-bin/rsync": w.serverProgram()} {
		if err := os.Remove(w.path(link)); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.Symlink(program, w.path(link)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) serverProgram() string {
	if w.program != "" {
		return w.program
	}
	return w.tools["rsync-"+w.serverRsync]
}

// env is the environment of the client machine, on top of the test's own.
func (w *world) env() []string {
	return []string{
		"HOME=" + w.path("home"),
		"PATH=" + w.path("bin") + ":" + os.Getenv("PATH"),
		"LC_ALL=C.UTF-8",
		"SSH_AUTH_SOCK=",
		"BORG_BASE_DIR=" + w.path("home/borg"),
		"BORG_PASSPHRASE=correct horse",
		"BORG_HOST_ID=e2e@1",
		"BORG_SELFTEST=disabled",
		"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes",
		"BORG_RELOCATED_REPO_ACCESS_IS_OK=yes",
		"RSYNC_RSH=ssh",
		envRoot + "=" + os.Getenv(envRoot),
	}
}

// start brings up the server and writes the ssh_config that leads to it.
func (w *world) start() error {
	if err := w.useRsync(); err != nil {
		return err
	}
	for _, c := range w.clients {
		if err := w.makeFolders(c); err != nil {
			return err
		}
	}
	if err := w.giveFolders(); err != nil {
		return err
	}
	start := startPostern
	if w.baseline {
		start = startSSHD
	}
	s, err := start(w)
	if err != nil {
		return err
	}
	w.server = s
	return w.writeHosts()
}

// writeHosts writes ssh_config and known_hosts: every client is a host by its
// own name, with its key; the first one is "nas" too. By any other name, such as
// "bare", the server is reached without a key.
func (w *world) writeHosts() error {
	host, port, err := splitAddress(w.server.Address())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, block := range w.hosts {
		fmt.Fprintln(&b, block)
	}
	for i, c := range w.clients {
		names := c.name
		if i == 0 {
			names += " nas"
		}
		fmt.Fprintf(&b, "Host %s\n  User %s\n", names, c.user())
		for _, key := range c.keys {
			fmt.Fprintf(&b, "  IdentityFile %s\n", w.path("keys/"+key))
		}
	}
	fmt.Fprintf(&b, `Host *
  HostName %s
  Port %s
  User %s
  HostKeyAlias nas
  IdentitiesOnly yes
  StrictHostKeyChecking yes
  UserKnownHostsFile %s
  GlobalKnownHostsFile /dev/null
  BatchMode yes
  LogLevel ERROR
  ConnectTimeout 20
`, host, port, login, w.path("known_hosts"))
	if err := os.WriteFile(w.path("ssh_config"), b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(w.path("known_hosts"), []byte("nas "+w.server.HostKey()+"\n"), 0o644)
}

// close ends the server. With clean it also reports whatever the server left:
// children, descriptors, a panic, a data race, an unclean exit.
func (w *world) close(clean bool) error {
	defer w.removeDisks()
	for _, way := range w.ways {
		way.close()
	}
	var logs error
	if w.logs != nil {
		logs = w.logs.stop()
	}
	if w.server == nil {
		return logs
	}
	return errors.Join(w.server.Close(clean), logs)
}

func (w *world) removeDisks() {
	for _, folder := range w.disks {
		unix.Unmount(folder, unix.MNT_DETACH)
	}
}

// run runs a command of the client machine and returns both outputs and the
// exit status.
func (w *world) run(name string, args ...string) (stdout, stderr string, status int, err error) {
	if path, err := exec.LookPath(w.path("bin/" + name)); err == nil {
		name = path
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = w.work
	cmd.Env = append(os.Environ(), w.env()...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return "", "", 0, err
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), nil
}

// newTestWorld is [newWorld] for a test that is no script.
func newTestWorld(t *testing.T, m manner) *world {
	t.Helper()
	mustHave(t, m)
	work, err := os.MkdirTemp(os.Getenv(envRoot), "go-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(work, 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(work, false, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(!t.Failed()); err != nil {
			t.Error(err)
		}
		os.RemoveAll(work)
	})
	return w
}
