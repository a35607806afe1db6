package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// visit is one bad connection.
type visit struct {
	kind string
	// send does what the attacker does, and returns when he is through with it or
	// the gateway is gone.
	send func(ctx context.Context, s *stranger)
}

// stranger is a connection of nobody's. From the moment that it is mute nothing of
// what is written is sent, which is how a client stops in the midst of a handshake.
type stranger struct {
	*net.TCPConn
	// writes is how many are sent before it is mute, and last is sent then.
	writes int
	last   []byte
	// stays says that it does not hang up by itself.
	stays bool
	// greeting is what the gateway said first.
	greeting []byte
}

// Write implements [io.Writer].
func (s *stranger) Write(b []byte) (int, error) {
	if s.writes == 0 {
		return len(b), nil
	}
	n, err := s.TCPConn.Write(b)
	if s.writes--; s.writes == 0 {
		s.TCPConn.Write(s.last)
		s.hangUp()
	}
	return n, err
}

// hangUp says that there is no more to come.
func (s *stranger) hangUp() {
	if !s.stays {
		s.CloseWrite()
	}
}

// Read implements [io.Reader].
func (s *stranger) Read(b []byte) (int, error) {
	n, err := s.TCPConn.Read(b)
	if more := 16 - len(s.greeting); more > 0 {
		s.greeting = append(s.greeting, b[:min(n, more)]...)
	}
	return n, err
}

// verdict is what became of a bad connection.
type verdict int

const (
	served     verdict = iota // the gateway spoke SSH with it
	turnedAway                // it was dropped before that
	dropped                   // it was not even told so
	stuck                     // the gateway did not end it
)

// dialFrom connects from an address.
func dialFrom(from net.IP, gateway string) (*net.TCPConn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}
	conn, err := dialer.Dial("tcp", gateway)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// strike does it on a connection, and returns once the gateway has ended that. What
// stays is to be ended by the gateway's patience, which is below ours.
func (v visit) strike(ctx context.Context, conn *net.TCPConn, stays bool) verdict {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * patience))
	s := &stranger{TCPConn: conn, writes: -1, stays: stays}
	v.send(ctx, s)
	s.hangUp()
	_, err := io.Copy(io.Discard, struct{ io.Reader }{s}) // not past the greeting
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return stuck
	case bytes.HasPrefix(s.greeting, []byte("SSH-2.0-")):
		return served
	case bytes.HasPrefix(s.greeting, []byte("postern: not now")):
		return turnedAway
	}
	return dropped
}

// raw is an attack that sends bytes and no more.
func raw(kind string, parts ...[]byte) visit {
	all := joined(parts...)
	return visit{kind, func(_ context.Context, s *stranger) { s.Write(all) }}
}

// stopping is a client of SSH that falls silent after some writes, of which each is
// one packet, and sends something else in the place of the rest.
func stopping(kind string, key ssh.Signer, writes int, last []byte) visit {
	return visit{kind, func(_ context.Context, s *stranger) {
		s.writes, s.last = writes, last
		c, channels, requests, err := ssh.NewClientConn(s, "nas", &ssh.ClientConfig{
			User: login, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		})
		if err == nil {
			go ssh.DiscardRequests(requests)
			go func() {
				for range channels { // a gateway opens none
				}
			}()
			c.Close()
		}
	}}
}

// phases are the writes of a client up to its attempts to sign in.
var phases = []string{"version", "KEXINIT", "KEX_ECDH_INIT", "NEWKEYS", "service request", "no key", "a key's name"}

// hello is what comes before a packet that is not encrypted.
var hello = []byte("SSH-2.0-siege\r\n")

// packet is a packet that is not encrypted, with whatever length and padding.
func packet(length uint32, padding byte, payload []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, length), padding), payload...)
}

// badConnections are all of them but those that replay what somebody else sent.
func badConnections(stranger ssh.Signer) []visit {
	random := rand.NewChaCha8([32]byte{})
	noise := make([]byte, 64<<10)
	random.Read(noise)
	all := []visit{
		raw("silence"),
		raw("garbage", noise[:1<<10]),
		raw("garbage behind the version", hello, noise),
		raw("an endless line", bytes.Repeat([]byte("x"), 512<<10)),
		raw("an endless version", []byte("SSH-2.0-"), bytes.Repeat([]byte("x"), 512<<10)),
		raw("endless lines before the version", []byte(strings.Repeat("x\r\n", 100_000))),
		raw("NUL", make([]byte, 64<<10)),
		raw("HTTP", []byte("GET / HTTP/1.1\r\nHost: nas\r\n\r\n")),
		raw("TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), noise[:512]),
		raw("SSH 1", []byte("SSH-1.5-siege\r\n")),
		{"a byte a second", drip},
	}
	for name, p := range map[string][]byte{
		"packet of 4 GiB":              packet(0xffffffff, 4, noise),
		"packet of 2 GiB":              packet(0x80000000, 4, noise),
		"packet of 256 KiB and 1":      packet(256<<10+1, 4, noise),
		"packet of 256 KiB unfinished": packet(256<<10, 4, noise),
		"packet of nothing":            packet(0, 0, noise),
		"packet of padding alone":      packet(12, 11, noise),
		"padding longer than a packet": packet(12, 255, noise),
		"no padding":                   packet(12, 0, noise),
		"length that is no multiple":   packet(13, 4, noise),
		"a flood of IGNORE":            bytes.Repeat(packet(12, 6, []byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 20_000),
		"a flood of unknown messages":  bytes.Repeat(packet(12, 6, []byte{192, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 20_000),
	} {
		all = append(all, raw(name, hello, p))
	}
	for i, phase := range phases {
		all = append(all, stopping("stop after "+phase, stranger, i+1, nil))
	}
	// With AES-GCM, and only there, a length is read before it is proved.
	for name, length := range map[string]uint32{"4 GiB": 0xffffffff, "256 KiB and 1": 256<<10 + 1, "nothing": 0} {
		all = append(all, stopping("encrypted packet of "+name, stranger, 4, packet(length, 4, noise)))
	}
	return append(all, stopping("a stranger's key", stranger, -1, nil))
}

// drip begins a handshake, a byte a second.
func drip(ctx context.Context, s *stranger) {
	for _, b := range append(bytes.Clone(hello), packet(1000, 4, make([]byte, 1000))...) {
		if _, err := s.Write([]byte{b}); err != nil {
			return
		}
		if !s.stays {
			return // the others are in a hurry
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}
