package listening

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listener is an open socket, and where it is. The gateway closes it.
type Listener struct {
	*net.TCPListener
	// Name is its address with its port, or its interface with its port.
	Name string
}

// Failure is why the system does not let a gateway listen, and what to do.
type Failure struct {
	Address Address
	Cause   error
	Remedy  string
}

// Error implements error.
func (f *Failure) Error() string {
	return fmt.Sprintf("cannot listen on %q: %v; %s", f.Address, f.Cause, f.Remedy)
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// Open listens there. An error is a [*Failure]. An address of IPv4 or IPv6 is one of that family, also if it
// stands for all; no address stands for both families.
func (a Address) Open(ctx context.Context) (Listener, error) {
	var config net.ListenConfig
	if a.Interface != "" {
		// The further paths of a connection of MPTCP could come by another one.
		config.SetMultipathTCP(false)
		config.Control = a.bind
	}
	l, err := config.Listen(ctx, a.network(), net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port))))
	if err != nil {
		return Listener{}, &Failure{a, innermost(err), remedy(err)}
	}
	name := l.Addr().String()
	if _, port, err := net.SplitHostPort(name); err == nil && a.Interface != "" {
		name = net.JoinHostPort(a.Interface, port)
	}
	return Listener{l.(*net.TCPListener), name}, nil // the network is TCP
}

// network is what package net calls the family of the address.
func (a Address) network() string {
	ip, err := netip.ParseAddr(a.Host)
	switch {
	case err != nil:
		return "tcp"
	case ip.Is4():
		return "tcp4"
	}
	return "tcp6"
}

// bind has a socket take only what comes by the address's interface.
func (a Address) bind(_, _ string, socket syscall.RawConn) error {
	var bound error
	controlled := socket.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), a.Interface) })
	return errors.Join(controlled, os.NewSyscallError("setsockopt", bound))
}

// innermost is what the system said, without the address, which the message has
// already.
func innermost(err error) error {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program, perhaps another postern, listens there: end it, or name another port with listen or --listen"
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EINVAL): // EINVAL for that of a zone
		return "this host has no such interface: see ip link, and correct listen or --listen"
	case errors.Is(err, syscall.EPERM):
		return "Linux before 5.7 lets only root or CAP_NET_RAW listen on one interface: name its address instead"
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 take root or CAP_NET_BIND_SERVICE: name a higher one with listen or --listen"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this host has no such address: see ip address, and correct listen or --listen"
	}
	return forms
}
