package gateway

import (
	"io"
	"reflect"
	"time"
	"unsafe"

	"golang.org/x/crypto/ssh"
)

// The SSH library (golang.org/x/crypto v0.58.0) reads packets in a goroutine
// that hands them on through a channel of 16. When a handshake fails, or a
// connection ends by a fault, nobody takes from it any more: a peer that has sent
// 17 packets too many leaves that goroutine behind for ever, with up to 4 MiB.
// It needs no key for that. What follows takes care of it in two parts: see
// [connection.drain] and [connection.hold].

// drain takes what the library no longer takes, until its reading goroutine has
// ended. The connection must be closed, and the library done with it. Before the
// authentication began there is nothing that could be drained.
func (c *connection) drain() {
	if c.preauth == nil {
		return
	}
	for range incomingPackets(c.preauth) {
	}
}

// incomingPackets returns the channel of packets inside the library's
// connection, which has no name outside of it. In a library where it is
// elsewhere it is an ended one, and the tests fail.
func incomingPackets(peer ssh.ServerPreAuthConn) <-chan []byte {
	incoming := inside(inside(reflect.ValueOf(peer), "transport"), "incoming")
	if !incoming.IsValid() || incoming.Type() != reflect.TypeFor[chan []byte]() {
		ended := make(chan []byte)
		close(ended)
		return ended
	}
	// The field is of this type, and peer keeps it alive.
	return *(*chan []byte)(unsafe.Pointer(incoming.UnsafeAddr()))
}

// inside returns the field of the struct that v is or points to, or nothing.
func inside(v reflect.Value, field string) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(field)
}

// Between the key exchange and the authentication there is one packet that a
// peer must send, and no way to reach the library's connection. There the gateway
// reads so little at once that the backlog cannot fill, and then waits for the
// library to have judged it.
const (
	// maxAhead is less than 17 packets of the least size, 26 bytes. What
	// OpenSSH, Dropbear and PuTTY send there is below 200.
	maxAhead = 400
	// aheadPause is how long a peer waits that really needs more. The
	// library needs microseconds to refuse.
	aheadPause = time.Second
)

// hold returns how much may be read now, of n bytes. It is called by whoever
// reads, one at a time.
func (c *connection) hold(n int) int {
	if !c.exchanged.isReached() || c.authenticating.isReached() {
		return n
	}
	if c.ahead >= maxAhead {
		pause := time.NewTimer(aheadPause)
		defer pause.Stop()
		select {
		case <-c.authenticating.reached:
			return n
		case <-c.closed.reached:
		case <-pause.C:
		}
		c.ahead = 0
	}
	return min(n, maxAhead-c.ahead)
}

// hostKey is a host key that tells when it has signed: the key exchange is then
// over, and only now can a peer know the keys to seal packets with.
type hostKey struct {
	ssh.MultiAlgorithmSigner
	signed func()
}

// Sign implements [ssh.Signer].
func (k hostKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	k.signed()
	return k.MultiAlgorithmSigner.Sign(rand, data)
}

// SignWithAlgorithm implements [ssh.AlgorithmSigner].
func (k hostKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	k.signed()
	return k.MultiAlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
}
