package main

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postern/policy"
)

// captureVerb makes this binary a remote shell that connects to nothing: it
// writes down what it was to send to the far side, and ends.
const captureVerb = "remote-shell-of-explain"

const (
	// capturePatience is how long rsync or borg may take until they call the
	// remote shell. Borg reads a hundred Python files first.
	capturePatience = 30 * time.Second
	// maxSecluded bounds the arguments on standard input, far above what a
	// command line can hold.
	maxSecluded = 4 << 20
)

// sent is what a client would send to the gateway.
type sent struct {
	// Exec is the exec string.
	Exec string
	// Secluded are the arguments that follow on standard input.
	Secluded []string
	// Login is the login name of the remote side; empty when none was given.
	Login string
}

// captureMain is the remote shell. It reports whether it was called as that.
func captureMain(args []string, stdin io.Reader) (status int, is bool) {
	if len(args) < 3 || args[1] != captureVerb {
		return 0, false
	}
	s, err := readSent(args[3:], stdin)
	if err == nil {
		err = writeSent(args[2], s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "postern:", err)
		return exitNo, true
	}
	return exitOK, true
}

// readSent reads the arguments that a client gives to its remote shell: options
// of ssh, the host, and the words that ssh joins by blanks.
func readSent(args []string, stdin io.Reader) (sent, error) {
	var s sent
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-l":
			s.Login = args[1]
			args = args[2:]
		case "-p":
			args = args[2:]
		default:
			args = args[1:]
		}
	}
	if len(args) < 2 {
		return s, fmt.Errorf("no host and command in %q", args)
	}
	if login, _, ok := strings.Cut(args[0], "@"); ok {
		s.Login = login
	}
	s.Exec = strings.Join(args[1:], " ")
	var err error
	if request, refusal := policy.Parse(s.Exec); refusal == nil && request.Secluded() {
		s.Secluded, err = readSecluded(stdin)
	}
	return s, err
}

// readSecluded reads NUL-separated items up to an empty one.
func readSecluded(r io.Reader) ([]string, error) {
	var items []string
	b := bufio.NewReader(io.LimitReader(r, maxSecluded))
	for {
		item, err := b.ReadString(0)
		if err != nil {
			return nil, fmt.Errorf("reading the arguments on standard input: %w", err)
		}
		if item = strings.TrimSuffix(item, "\x00"); item == "" {
			return items, nil
		}
		items = append(items, item)
	}
}

// writeSent uses gob because names need not be UTF-8.
func writeSent(path string, s sent) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(gob.NewEncoder(f).Encode(s), f.Close())
}

// captured is a command line of a client, made ready to be run here without a
// network and without touching anything.
type captured struct {
	program string
	// args returns the arguments with the given remote shell; scratch is a
	// folder that is thrown away.
	args func(shell, scratch string) []string
}

// run runs the real program in an empty folder, with itself as the remote shell,
// and returns what it would have sent.
func (c captured) run(ctx context.Context) (sent, error) {
	scratch, err := os.MkdirTemp("", "postern-explain-")
	if err != nil {
		return sent{}, fmt.Errorf("no folder to run %s in: %w; name one that can be written with TMPDIR", c.program, err)
	}
	defer os.RemoveAll(scratch)
	record := filepath.Join(scratch, "sent")
	shell, err := remoteShell(record)
	if err != nil {
		return sent{}, err
	}
	said := runQuietly(ctx, scratch, shell, c.program, c.args(shell, scratch))
	f, err := os.Open(record)
	if err != nil {
		return sent{}, fmt.Errorf("%s did not call the remote side; it says: %s", c.program, firstLines(said))
	}
	defer f.Close()
	var s sent
	if err := gob.NewDecoder(f).Decode(&s); err != nil {
		return sent{}, fmt.Errorf("%s was cut short while it called the remote side: %w", c.program, err)
	}
	return s, nil
}

// remoteShell is the command by which rsync and borg call this binary. Both
// split it at blanks and know quotes.
func remoteShell(record string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, path := range []string{self, record} {
		if strings.ContainsAny(path, `'"\`) {
			return "", fmt.Errorf("the path %q holds a quote or a backslash, which a remote shell's name cannot", path)
		}
	}
	return fmt.Sprintf("'%s' %s '%s'", self, captureVerb, record), nil
}

// runQuietly runs the client and returns what it printed. How it ends says
// nothing: its remote shell hangs up on it.
func runQuietly(ctx context.Context, scratch, shell, program string, args []string) string {
	ctx, cancel := context.WithTimeout(ctx, capturePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = scratch
	cmd.Env = append(bareEnvironment(),
		// Whatever the arguments say, no other remote shell is called.
		"RSYNC_RSH="+shell, "BORG_RSH="+shell,
		"HOME="+scratch, "TMPDIR="+scratch,
		"BORG_BASE_DIR="+scratch, "BORG_PASSPHRASE=none", "BORG_SELFTEST=disabled",
	)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		return err.Error()
	}
	return string(out)
}

// firstLines returns the beginning of what a program printed, as one line.
func firstLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return plain(strings.Join(lines[:min(len(lines), 3)], "; "))
}
