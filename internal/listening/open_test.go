package listening

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a network of its own, which one thread is in.
type machine struct {
	t      *testing.T
	thread int
	orders chan func()
}

// newMachine returns one that has nothing but loopback, and ends with the test.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, orders: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		m.thread = unix.Gettid()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for order := range m.orders {
			order()
		}
	}()
	if err := <-made; err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	t.Cleanup(func() { close(m.orders) })
	m.ip("link set lo up")
	return m
}

// do runs f on the machine.
func (m *machine) do(f func()) {
	done := make(chan struct{})
	m.orders <- func() { defer close(done); f() }
	<-done
}

// ip runs the program ip on the machine.
func (m *machine) ip(args string) {
	m.t.Helper()
	m.do(func() {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			m.t.Errorf("ip %s: %v: %s", args, err, out)
		}
	})
}

// reaches reports whether somebody accepts connections there.
func (m *machine) reaches(address string) (err error) {
	m.do(func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", address, 10*time.Second); err == nil {
			conn.Close()
		}
	})
	return err
}

// opens listens at the address, and returns the port.
func (m *machine) opens(text string) (l Listener, port string) {
	m.t.Helper()
	a, err := Parse(text)
	if err == nil {
		m.do(func() { l, err = a.Open(context.Background()) })
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { l.Close() })
	if _, port, err = net.SplitHostPort(l.Name); err != nil {
		m.t.Fatal(err)
	}
	return l, port
}

// TestOneInterface has two machines on a wire. Whoever listens on the wire alone is
// reached by it, at addresses of both families, and not by another interface.
func TestOneInterface(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		t.Skip("making network interfaces takes root and the program ip")
	}
	here, there := newMachine(t), newMachine(t)
	there.ip(fmt.Sprintf("link add wire type veth peer name wire netns %d", here.thread))
	for number, m := range []*machine{here, there} {
		m.ip(fmt.Sprintf("addr add 192.0.2.%d/24 dev wire", number+1))
		m.ip(fmt.Sprintf("addr add fe80::%d/64 dev wire nodad", number+1))
		m.ip("link set wire addrgenmode none up")
	}
	l, port := here.opens("wire:0")
	if l.Name != "wire:"+port {
		t.Errorf("it is called %q", l.Name)
	}
	for _, address := range []string{"192.0.2.1:", "[fe80::1%wire]:"} {
		if err := there.reaches(address + port); err != nil {
			t.Errorf("%s by the wire: %v", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1:", "[::1]:"} {
		if err := here.reaches(address + port); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s by loopback: %v", address, err)
		}
	}
	_, port = here.opens("[fe80::1%wire]:0")
	if err := there.reaches("[fe80::1%wire]:" + port); err != nil {
		t.Errorf("the address of the link: %v", err)
	}
	if err := there.reaches("192.0.2.1:" + port); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("another address: %v", err)
	}
}
