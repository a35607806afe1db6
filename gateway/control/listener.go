package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// maxConnections is how many are served at once. Others wait until one is over, which
// each is after some seconds at most unless it gets an answer.
const maxConnections = 32

// listener accepts connections of those who may ask, and of nobody else.
type listener struct {
	*net.UnixListener
	// folder is open while the socket is there, which has the name in it.
	folder *os.File
	name   string
	// made is the socket as it was made.
	made unix.Stat_t
	uid  uint32
	// refused is told of the others.
	refused func(Peer)
	places  chan struct{}
	closed  chan struct{}
	close   func() error
}

// listen makes the socket of a process, this one, in a folder that is held.
func listen(path string, pid int, refused func(Peer)) (*listener, error) {
	folder, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	l := &listener{
		folder: folder, name: socketName(pid), uid: uint32(os.Geteuid()), refused: refused,
		places: make(chan struct{}, maxConnections), closed: make(chan struct{}),
	}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	l.close = sync.OnceValue(l.end)
	return l, nil
}

func (l *listener) open() error {
	owner, mode, err := ownerOf(l.folder)
	switch {
	case err != nil:
		return err
	case owner != l.uid:
		return fmt.Errorf("%s belongs to uid %d; run chown %d %s", l.folder.Name(), owner, l.uid, l.folder.Name())
	case mode&0o077 != 0:
		return fmt.Errorf("%s has mode %04o; run chmod 700 %s", l.folder.Name(), mode, l.folder.Name())
	}
	if err := removeStale(l.folder); err != nil {
		return err
	}
	l.UnixListener, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: inside(l.folder, l.name)})
	if err != nil {
		return fmt.Errorf("make the control socket %s in %s: %w%s", l.name, l.folder.Name(), innermost(err), remedy(err))
	}
	l.SetUnlinkOnClose(false) // it is removed through the folder
	err = unix.Fchmodat(int(l.folder.Fd()), l.name, 0o600, 0)
	if err == nil {
		err = unix.Fstatat(int(l.folder.Fd()), l.name, &l.made, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("chmod %s: %w", l.name, err), l.remove(), l.UnixListener.Close())
	}
	return nil
}

// gone reports whether the socket is not where it was made any more.
func (l *listener) gone() bool {
	var there unix.Stat_t
	err := unix.Lstat(filepath.Join(l.folder.Name(), l.name), &there)
	return err != nil || there.Dev != l.made.Dev || there.Ino != l.made.Ino
}

// remedy is what to do where no socket can be made.
func remedy(err error) string {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return "; a gateway of that process number answers there, perhaps one of another container: end it, or give this one a state folder of its own"
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTSUP):
		return "; its file system has no sockets: name a folder on a disk of this host with state"
	}
	return ""
}

// innermost is what the system said, without the address, which leads through /proc.
func innermost(err error) error {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}

// removeStale removes the sockets that nobody listens on. One that could still answer
// stays, whatever keeps it from doing so.
func removeStale(folder *os.File) error {
	all, err := sockets(folder)
	if err != nil {
		return err
	}
	for _, pid := range all {
		conn, err := dial(folder, pid)
		if err == nil {
			conn.Close()
		}
		if errors.Is(err, unix.ECONNREFUSED) {
			if err := unlink(folder, socketName(pid)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dial connects to the socket of a process.
func dial(folder *os.File, pid int) (net.Conn, error) {
	return net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: inside(folder, socketName(pid))})
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(conn)
		if err != nil {
			conn.Close()
			continue
		}
		if peer.UID != 0 && peer.UID != l.uid {
			conn.Close()
			l.refused(peer)
			continue
		}
		select {
		case l.places <- struct{}{}:
			return &placed{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
		case <-l.closed:
			conn.Close()
			return nil, net.ErrClosed
		}
	}
}

// placed is a connection that has a place.
type placed struct {
	net.Conn
	leave func()
}

// Close implements [net.Conn].
func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}

// Close removes the socket. It may be called more than once.
func (l *listener) Close() error { return l.close() }

func (l *listener) end() error {
	close(l.closed)
	return errors.Join(l.remove(), l.UnixListener.Close(), l.folder.Close())
}

// remove removes the socket, if nobody else has.
func (l *listener) remove() error { return unlink(l.folder, l.name) }

func unlink(folder *os.File, name string) error {
	err := unix.Unlinkat(int(folder.Fd()), name, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s from %s: %w", name, folder.Name(), err)
	}
	return nil
}
