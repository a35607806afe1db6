package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// postern is one running gateway.
type postern struct {
	w       *world
	cmd     *exec.Cmd
	log     *journal
	address string
	hostKey string
	ended   chan error
	open    []string // its descriptors before the first connection
	over    bool     // the script has ended it already
	newest  int      // the process that took over, if one did
}

// startPostern initialises a gateway with the command that a person would use,
// writes the configuration and the clients by hand, and serves.
func startPostern(w *world) (server, error) {
	if err := w.give(w.path("gw")); err != nil {
		return nil, err
	}
	p, err := initPostern(w)
	if err != nil {
		return nil, err
	}
	if err := w.writeConfig(); err != nil {
		return nil, err
	}
	if err := w.writeClients(w.path("gw/clients.d")); err != nil {
		return nil, err
	}
	if err := w.give(w.path("gw")); err != nil {
		return nil, err
	}
	return p, p.serve()
}

// initPostern runs "postern init" in gw and learns the host key.
func initPostern(w *world) (*postern, error) {
	if err := os.Chmod(w.path("gw"), 0o700); err != nil {
		return nil, err
	}
	if _, err := w.postern("init", "--listen", "127.0.0.1:0", "--state", w.path("gw/state")); err != nil {
		return nil, err
	}
	key, err := exec.Command(w.tools["ssh-keygen"], "-y", "-f", w.path("gw/state/ssh_host_ed25519_key")).Output()
	if err != nil {
		return nil, fmt.Errorf("reading the host key that init made: %w", err)
	}
	words := strings.Fields(string(key))
	return &postern{w: w, hostKey: strings.Join(words[:2], " ")}, nil
}

// writeConfig replaces what init wrote by the few lines that the world needs.
func (w *world) writeConfig() error {
	lines := []string{
		fmt.Sprintf("state: %q", w.path("gw/state")),
		fmt.Sprintf("programs: {rsync: %q, borg: %q}", w.serverProgram(), w.tools["borg"]),
	}
	lines = append(lines, w.sandbox()...)
	for key, line := range map[string]string{
		"listen:": `listen: ["127.0.0.1:0"]`,
		// Who attacks and who does not comes from one address.
		"connection:": "connection: {penalties: {exempt: [127.0.0.0/8]}}",
	} {
		if !slices.ContainsFunc(w.config, func(line string) bool { return strings.HasPrefix(line, key) }) {
			lines = append(lines, line)
		}
	}
	text := strings.Join(append(lines, w.config...), "\n") + "\n"
	return os.WriteFile(w.path("gw/postern.yaml"), []byte(text), 0o600)
}

// command returns postern with --config, as the user and in the folders of the
// world.
func (w *world) command(verb string, args ...string) *exec.Cmd {
	args = append([]string{w.binary, verb, "--config", w.path("gw/postern.yaml")}, args...)
	if w.gateway != root || len(w.folders) > 0 {
		args = append(insideArgs(w.gateway, w.folders), args...)
	}
	if w.network != nil {
		args = append(w.network.inside(), args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	// Nothing of the test's environment: what the gateway needs, it has.
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + w.path("outside"), "TMPDIR=" + w.path("tmp")}
	cmd.Env = append(cmd.Env, w.environment...)
	return cmd
}

// postern runs one command of postern to its end.
func (w *world) postern(verb string, args ...string) (string, error) {
	cmd := w.command(verb, args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("postern %s: %w\n%s%s", verb, err, out.String(), errs.String())
	}
	return out.String(), nil
}

// serve starts "postern serve" and returns when it listens.
func (p *postern) serve() error {
	p.newest = 0
	p.cmd = p.w.command("serve")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	file, err := os.Create(p.w.path("serve.log"))
	if err != nil {
		return err
	}
	p.cmd.Stderr = write
	p.log = newJournal(file)
	start := p.cmd.Start
	if p.w.clock != nil {
		start = func() error { return p.w.clock.start(p.cmd) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("postern serve: %w", err)
	}
	write.Close()
	p.ended = make(chan error, 1)
	go func() {
		p.log.read(read)
		read.Close()
		p.ended <- p.cmd.Wait()
	}()
	if p.address, err = p.log.listening(); err != nil {
		p.cmd.Process.Kill()
		return err
	}
	if p.w.logs != nil { // its connection is one that lasts
		if err := p.w.logs.whole(p.w.path("gw/state/audit")); err != nil {
			return err
		}
	}
	p.open = descriptors(p.cmd.Process.Pid)
	return nil
}

func (p *postern) Address() string { return p.address }
func (p *postern) HostKey() string { return p.hostKey }

func (p *postern) pid() int {
	if p.newest != 0 {
		return p.newest
	}
	return p.cmd.Process.Pid
}

// idle waits until the gateway has no child, none that got away either, nothing
// open that it had not open at its start, and no temporary file.
func (p *postern) idle() error {
	return until(func() (bool, string) {
		if left := descendants(p.pid()); len(left) > 0 {
			return false, "the gateway still has children:\n" + describe(left)
		}
		if left := strays(p.w.work, p.pid()); len(left) > 0 {
			return false, "these processes are left:\n" + describe(left)
		}
		if more := surplus(p.open, descriptors(p.pid())); len(more) > 0 {
			return false, "the gateway did not close: " + strings.Join(more, ", ")
		}
		if left := names(p.w.path("tmp")); len(left) > 0 {
			return false, "temporary files are left: " + strings.Join(left, ", ")
		}
		return true, ""
	})
}

// Close ends the gateway as an init system does.
func (p *postern) Close(clean bool) error {
	if p.over {
		return p.log.alarming()
	}
	var problems []error
	if clean {
		problems = append(problems, p.idle())
	}
	syscall.Kill(p.pid(), syscall.SIGTERM)
	select {
	case err := <-p.ended:
		if err != nil {
			problems = append(problems, fmt.Errorf("postern serve: %w", err))
		}
	case <-time.After(patience):
		problems = append(problems, fmt.Errorf("postern serve did not end in %s after SIGTERM", patience))
		syscall.Kill(p.pid(), syscall.SIGKILL)
		p.cmd.Process.Kill()
		<-p.ended
	}
	problems = append(problems, p.log.alarming())
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%w\nlog of the gateway:\n%s", err, p.log.tail(40))
	}
	return nil
}

// journal keeps what a server writes to stderr, line by line.
type journal struct {
	file io.WriteCloser

	mu    sync.Mutex
	more  *sync.Cond
	lines []string
	done  bool
}

func newJournal(file io.WriteCloser) *journal {
	j := &journal{file: file}
	j.more = sync.NewCond(&j.mu)
	return j
}

// read takes lines until the writer is gone.
func (j *journal) read(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			io.WriteString(j.file, line)
		}
		j.mu.Lock()
		if line != "" {
			j.lines = append(j.lines, strings.TrimSuffix(line, "\n"))
		}
		j.done = err != nil
		j.more.Broadcast()
		j.mu.Unlock()
		if err != nil {
			j.file.Close()
			return
		}
	}
}

// await returns the first line from the given one on that matches; it waits for
// it until the server is gone or patience is at its end.
func (j *journal) await(from int, match func(line string) bool) (string, error) {
	late := false
	alarm := time.AfterFunc(patience, func() {
		j.mu.Lock()
		late = true
		j.more.Broadcast()
		j.mu.Unlock()
	})
	defer alarm.Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for ; from < len(j.lines); from++ {
			if match(j.lines[from]) {
				return j.lines[from], nil
			}
		}
		if late || j.done {
			return "", fmt.Errorf("no such line in the log:\n%s", strings.Join(j.lines, "\n"))
		}
		j.more.Wait()
	}
}

// len is the number of lines so far.
func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.lines)
}

// tail returns the last n lines.
func (j *journal) tail(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-n):], "\n")
}

// listening returns the address that the gateway got, from the record of its
// start.
func (j *journal) listening() (string, error) {
	var address string
	_, err := j.await(0, func(line string) bool {
		var record struct {
			Message string
			Listen  []string
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Message == "gateway started" && len(record.Listen) > 0 {
			address = record.Listen[0]
		}
		return address != ""
	})
	return address, err
}

// alarming reports what must not be in any log.
func (j *journal) alarming() error {
	text := []byte(j.tail(1 << 20))
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "goroutine "} {
		if bytes.Contains(text, []byte(bad)) {
			return fmt.Errorf("the log says %q:\n%s", bad, text)
		}
	}
	return nil
}
