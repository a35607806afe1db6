package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// network is a network namespace without a name: it is gone when nobody is in it and
// its file is closed, however the test ends.
type network struct {
	tools toolPaths
	file  *os.File
}

// newNetwork makes a namespace, with its loopback up.
func newNetwork(t *testing.T, tools toolPaths) *network {
	t.Helper()
	n := &network{tools: tools}
	err := abroad(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if errors.Is(err, unix.EPERM) {
		t.Skipf("this host gives no network namespace (run the test as root, in a container with CAP_SYS_ADMIN): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.file.Close() })
	n.ip(t, "link set lo up")
	return n
}

// abroad calls f in a thread that may leave its network namespace, and has it come
// home. A thread that ended instead would take with it every gateway that was started
// from it: theirs is the parent's death that they end by.
func abroad(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	err = f()
	if failure := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); failure != nil {
		return errors.Join(err, failure) // nobody else may have this thread
	}
	runtime.UnlockOSThread()
	return err
}

// path leads to the namespace while the test runs.
func (n *network) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// do calls f in the namespace: the sockets that it makes are in there, for good, and
// so are the processes that it runs to their end.
func (n *network) do(f func() error) error {
	return abroad(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// inside are the words before a command that runs in there.
func (n *network) inside() []string { return []string{"inside", "-net", n.path(), "--"} }

// ip has ip do something for each line.
func (n *network) ip(t *testing.T, lines ...string) {
	t.Helper()
	err := n.do(func() error {
		cmd := exec.Command(n.tools["ip"], "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wire puts namespaces on one switch, which is a device of the first of them; the
// others have a wire to it.
func wire(t *testing.T, first *network, others ...*network) {
	t.Helper()
	first.ip(t, "link add switch type bridge", "link set switch up")
	for i, other := range others {
		port := fmt.Sprintf("port%d", i)
		first.ip(t,
			fmt.Sprintf("link add %s type veth peer name wire netns %s", port, other.path()),
			fmt.Sprintf("link set %s master switch up", port))
		other.ip(t, "link set wire up")
	}
}

// address gives addresses to a device, each with the length of its network's prefix.
func (n *network) address(t *testing.T, device string, addresses ...string) {
	t.Helper()
	var lines []string
	for _, a := range addresses {
		lines = append(lines, fmt.Sprintf("addr add %s dev %s nodad", a, device))
	}
	n.ip(t, lines...)
}

// hasIPv6 tells whether this host has IPv6 at all.
func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}
