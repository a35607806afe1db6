package control

import (
	"errors"
	"net"

	"postern/internal/unixsocket"
)

// Peer is a process at the other end of a socket, as the kernel tells: who it was when
// it connected or began to listen.
type Peer struct {
	// UID is its effective user.
	UID uint32
	// PID is 0 where it cannot be seen from here.
	PID int32
}

// peerOf asks the kernel.
func peerOf(conn net.Conn) (Peer, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}, errors.New("this is no Unix socket")
	}
	cred, err := unixsocket.Peer(socket)
	if err != nil {
		return Peer{}, err
	}
	return Peer{UID: cred.Uid, PID: cred.Pid}, nil
}
