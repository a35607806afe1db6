package control

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// Peer is a process at the other end of a socket, as the kernel tells: who it was when
// it connected or began to listen.
type Peer struct {
	// UID is its effective user.
	UID uint32
	// PID is 0 where it cannot be seen from here.
	PID int32
}

// peerOf asks the kernel (SO_PEERCRED, unix(7)).
func peerOf(conn net.Conn) (Peer, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}, errors.New("this is no Unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		cred, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failure); err != nil {
		return Peer{}, err
	}
	return Peer{UID: cred.Uid, PID: cred.Pid}, nil
}
