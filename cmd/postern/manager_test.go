package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// manager is a service manager that a gateway talks to.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}
}

// starts has a command run as a service.
func (m *manager) starts(more ...string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+m.conn.LocalAddr().String())
		cmd.Env = append(cmd.Env, more...)
	}
}

// hears returns the next message, or nothing when none comes for so long.
func (m *manager) hears(within time.Duration) []string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b[:n])), "\n")
}

// expect skips messages up to one that begins with the word, and returns it.
func (m *manager) expect(word string, skipped ...string) []string {
	m.t.Helper()
	for {
		said := m.hears(patience)
		switch {
		case said == nil:
			m.t.Fatalf("the manager never hears %q", word)
		case strings.HasPrefix(said[0], word):
			return said
		case !slices.ContainsFunc(skipped, func(w string) bool { return strings.HasPrefix(said[0], w) }):
			m.t.Fatalf("the manager hears %q before %q", said, word)
		}
	}
}

// The manager learns of a gateway's life in its order, and nothing that the gateway
// starts learns of the manager.
func TestServiceManager(t *testing.T) {
	m := newManager(t)
	config := newGatewayFolder(t)
	seen := nosyRsync(t, config)
	s := startServing(t, config, m.starts("WATCHDOG_USEC=100000"))
	m.expect("READY=1")
	if err := healthCheck(t, s.address).Run(); err != nil {
		t.Errorf("it does not listen when it is ready: %v", err)
	}
	m.expect("STATUS=Serving; nothing runs", "WATCHDOG=1")
	m.expect("WATCHDOG=1")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if said := m.expect("RELOADING=1", "WATCHDOG=1"); len(said) != 2 || !strings.HasPrefix(said[1], "MONOTONIC_USEC=") {
		t.Errorf("it says %q", said)
	}
	m.expect("READY=1", "WATCHDOG=1")
	s.end(t, syscall.SIGTERM)
	if said := m.expect("STOPPING=1", "WATCHDOG=1"); len(said) != 2 || said[1] != "EXTEND_TIMEOUT_USEC=30000000" {
		t.Errorf("it says %q", said)
	}
	found, err := os.ReadFile(seen)
	if err != nil || strings.Contains(string(found), "NOTIFY_SOCKET") || strings.Contains(string(found), "WATCHDOG") {
		t.Errorf("rsync was started with\n%s\n%v", found, err)
	}
}

// A gateway that cannot start is never ready.
func TestServiceManagerWithoutAStart(t *testing.T) {
	m := newManager(t)
	cmd := postern(t, "serve", "--config", newGatewayFolder(t), "--listen", "192.0.2.1:2222")
	m.starts("WATCHDOG_USEC=1000")(cmd)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("it serves: %s", out)
	}
	if said := m.hears(time.Millisecond); said != nil {
		t.Errorf("it says %q", said)
	}
}

// The watchdog hears nothing from a gateway whose records go nowhere, because nobody
// reads what it prints, and hears from it again once somebody does.
func TestWatchdogOfAStuckGateway(t *testing.T) {
	m := newManager(t)
	const interval = 50 * time.Millisecond
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	cmd := postern(t, "serve", "--config", newGatewayFolder(t))
	m.starts("WATCHDOG_USEC=100000")(cmd)
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.expect("READY=1")
	m.expect("WATCHDOG=1", "STATUS=")
	fill(t, write)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.expect("RELOADING=1", "WATCHDOG=1", "STATUS=")
	for deadline := time.Now().Add(patience); m.hears(5*interval) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("a gateway that is stuck shows that it is alive")
		}
	}
	go func() { _, _ = read.WriteTo(devNull(t)) }()
	m.expect("READY=1", "WATCHDOG=1")
	m.expect("WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// fill fills a pipe.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	// One of its own, so that the others still wait for room.
	name := fmt.Sprintf("/proc/self/fd/%d", pipe.Fd())
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for size := 64 << 10; size > 0; {
		if _, err := unix.Write(fd, make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
