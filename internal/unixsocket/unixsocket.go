// Package unixsocket reads what only the kernel says of a Unix socket (unix(7)): who is
// at its other end, and which descriptors came with a message.
package unixsocket

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// Peer returns the process at the other end (SO_PEERCRED), as it was when it connected,
// began to listen or made a pair. The number of one that cannot be seen from here is 0.
func Peer(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		peer, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failure); err != nil {
		return nil, err
	}
	return peer, nil
}

// Descriptors returns those in the control messages (SCM_RIGHTS) that came with one
// read. They are the caller's to close.
func Descriptors(messages []byte) ([]int, error) {
	parts, err := unix.ParseSocketControlMessage(messages)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, part := range parts {
		if fds, err := unix.ParseUnixRights(&part); err == nil { // else it is something else
			all = append(all, fds...)
		}
	}
	return all, nil
}
