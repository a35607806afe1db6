package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// sshd is the baseline: a stock OpenSSH server that has, for every client, what
// one would write into authorized_keys. It starts one "sshd -i" for each
// connection, so that no port is chosen twice.
type sshd struct {
	w        *world
	listener net.Listener
	hostKey  string
	wait     sync.WaitGroup

	mu      sync.Mutex
	running map[*exec.Cmd]bool
}

// startSSHD writes sshd's configuration and takes connections.
func startSSHD(w *world) (server, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the baseline needs root, for a login name that the machine does not have")
	}
	if err := w.makeKey("../gw/host", "ed25519"); err != nil {
		return nil, err
	}
	if err := w.writeSSHD(); err != nil {
		return nil, err
	}
	hostKey, err := w.publicKey("../gw/host")
	if err != nil {
		return nil, err
	}
	s := &sshd{w: w, hostKey: strings.Join(strings.Fields(hostKey)[:2], " "), running: map[*exec.Cmd]bool{}}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.wait.Go(s.accept)
	return s, nil
}

// writeSSHD writes sshd_config, a passwd with the login names, one file of keys
// for each name, and the command that each key is bound to.
func (w *world) writeSSHD() error {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	logins := map[string][]string{}
	for _, c := range w.clients {
		if err := os.WriteFile(w.path("gw/force-"+c.name), []byte(c.forced(w)), 0o755); err != nil {
			return err
		}
		for _, key := range c.keys {
			line, err := w.publicKey(key)
			if err != nil {
				return err
			}
			logins[c.user()] = append(logins[c.user()], fmt.Sprintf("restrict,command=%q %s", w.path("gw/force-"+c.name), line))
		}
	}
	text := ""
	for name, keys := range logins {
		text += fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", name, w.children(), w.children(), w.path("outside"))
		if err := os.WriteFile(w.path("gw/keys-"+name), []byte(strings.Join(keys, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(w.path("gw/passwd"), append([]byte(text), passwd...), 0o644); err != nil {
		return err
	}
	config := fmt.Sprintf(`HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
LogLevel ERROR
PidFile none
RekeyLimit default none
%s
`, w.path("gw/host"), w.path("gw/keys-%u"), strings.Join(w.config, "\n"))
	return os.WriteFile(w.path("gw/sshd_config"), []byte(config), 0o600)
}

// forced is the command= of the client: a home for each tool, the rsync of the
// script, and for borg the flags by which its own server keeps to a rule.
func (c *client) forced(w *world) string {
	serve := "borg serve --umask=077"
	for _, r := range c.rules {
		if r.tool != "borg" {
			continue
		}
		serve += " --restrict-to-path '" + r.path + "'"
		for _, option := range r.options {
			switch key, value, _ := strings.Cut(option, "="); key {
			case "append_only":
				serve += " --append-only"
			case "quota":
				serve += " --storage-quota " + strings.TrimSuffix(value, "iB")
			}
		}
	}
	return fmt.Sprintf(`#!/bin/sh
PATH='%s':$PATH
export PATH
case $SSH_ORIGINAL_COMMAND in
borg*) HOME='%s'; cd "$HOME" && exec %s ;;
*) HOME='%s'; cd "$HOME" && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
`, w.path("server-bin"), c.home("borg"), serve, c.home("rsync"))
}

// accept starts one sshd for each connection until the listener is closed.
func (s *sshd) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wait.Go(func() { s.handle(conn.(*net.TCPConn)) })
	}
}

// handle lets sshd have the connection.
func (s *sshd) handle(conn *net.TCPConn) {
	file, err := conn.File()
	conn.Close()
	if err != nil {
		return
	}
	args := insideArgs(root, s.w.folders)
	args = append(args[:len(args)-1], "-file", "/etc/passwd="+s.w.path("gw/passwd"), "-empty", "/run", "-folder", "/run/sshd",
		"--", s.w.tools["sshd"], "-i", "-e", "-f", s.w.path("gw/sshd_config"))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout = file, file
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(s.w.path("serve.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		defer log.Close()
		cmd.Stderr = log
	}
	s.mu.Lock()
	if err = cmd.Start(); err == nil {
		s.running[cmd] = true
	}
	s.mu.Unlock()
	// Our copy of the connection must not keep it open.
	file.Close()
	if err != nil {
		return
	}
	cmd.Wait()
	s.mu.Lock()
	delete(s.running, cmd)
	s.mu.Unlock()
}

func (s *sshd) Address() string { return s.listener.Addr().String() }
func (s *sshd) HostKey() string { return s.hostKey }

// Close waits for the sessions to end, and ends those that do not.
func (s *sshd) Close(clean bool) error {
	s.listener.Close()
	var problem error
	if clean {
		problem = until(func() (bool, string) {
			left := strays(s.w.work)
			return len(left) == 0, "these processes are left:\n" + describe(left)
		})
	}
	s.mu.Lock()
	for cmd := range s.running {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	s.mu.Unlock()
	s.wait.Wait()
	if problem != nil {
		log, _ := os.ReadFile(filepath.Join(s.w.work, "serve.log"))
		return fmt.Errorf("%w\nlog of sshd:\n%s", problem, log)
	}
	return nil
}
