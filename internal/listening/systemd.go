package listening

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Handed returns the sockets that systemd hands over (sd_listen_fds(3)); there are
// none where it does not. Afterwards the environment no longer tells of them, so that
// no child takes them for its own. All must listen, and for TCP.
func Handed() ([]Listener, error) {
	var all []Listener
	var failed error
	for _, f := range activation.Files(true) {
		l, err := Of(f)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("systemd hands over %q, %w", f.Name(), err))
		} else {
			all = append(all, l)
		}
		f.Close()
	}
	if failed != nil {
		for _, l := range all {
			_ = l.Close() // nobody used it
		}
		return nil, failed
	}
	return all, nil
}

// Of returns the listener that a file is, or how it is none. The file stays open.
func Of(f *os.File) (Listener, error) {
	var s socket
	raw, err := f.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) { s, err = inspect(int(fd)) }), err)
	}
	switch {
	case err != nil:
		return Listener{}, fmt.Errorf("which is no socket (%w); see the unit that starts the gateway", err)
	case !s.tcp:
		return Listener{}, errors.New("which is not for TCP; name a port or an address with a port in ListenStream= of the socket unit, and no path")
	case !s.listens:
		return Listener{}, errors.New("which does not listen; leave Accept= out of the socket unit, for the gateway accepts connections itself")
	}
	l, err := net.FileListener(f)
	if err != nil {
		return Listener{}, fmt.Errorf("which cannot be used: %w", err)
	}
	name := l.Addr().String()
	if _, port, err := net.SplitHostPort(name); err == nil && s.device != "" {
		name = net.JoinHostPort(s.device, port)
	}
	return Listener{l.(*net.TCPListener), name}, nil
}

// socket is what the system says of one.
type socket struct {
	tcp, listens bool
	// device is the interface that it is bound to, if to one.
	device string
}

func inspect(fd int) (socket, error) {
	var values [4]int
	for i, option := range [...]int{unix.SO_DOMAIN, unix.SO_TYPE, unix.SO_PROTOCOL, unix.SO_ACCEPTCONN} {
		v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
		if err != nil {
			return socket{}, err
		}
		values[i] = v
	}
	device, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	domain, kind, protocol, listens := values[0], values[1], values[2], values[3]
	return socket{
		tcp: (domain == unix.AF_INET || domain == unix.AF_INET6) && kind == unix.SOCK_STREAM &&
			(protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_MPTCP),
		listens: listens != 0, device: device,
	}, err
}
