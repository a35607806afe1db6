package gateway_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// userauth is an authentication attempt without a key.
func userauth(login string) []byte {
	return ssh.Marshal(struct {
		User    string `sshtype:"50"`
		Service string
		Method  string
	}{login, "ssh-connection", "none"})
}

// A peer sends a fault and then more packets than the library's reader can get
// rid of. Nothing of it may stay behind: a goroutine and 4 MiB for each such
// connection would end the gateway.
func TestFloodBehindAFault(t *testing.T) {
	smallest := []byte{msgUserauth}
	largest := bytes.Repeat([]byte{msgUserauth}, 30_000)
	for name, fault := range map[string]func(*rawClient){
		"wrong service": func(c *rawClient) { c.request("ssh-connection") },
		"no service":    func(c *rawClient) { c.packet([]byte{msgServiceRequest}) },
		"not a request": func(c *rawClient) { c.packet(userauth("backup")) },
		"malformed attempt": func(c *rawClient) {
			c.request("ssh-userauth")
			c.packet([]byte{msgUserauth})
		},
		"too many attempts": func(c *rawClient) {
			c.request("ssh-userauth")
			for range 7 {
				c.packet(userauth("backup"))
			}
		},
		"line cut": func(c *rawClient) {
			c.request("ssh-userauth")
			defer c.Close()
			for range 40 {
				c.packet(userauth("backup"))
			}
		},
	} {
		for _, flood := range [][]byte{smallest, largest} {
			t.Run(fmt.Sprintf("%s and packets of %d bytes", name, len(flood)), func(t *testing.T) {
				w := serve(t, "/bin/true")
				c := handshake(t, w.addr)
				fault(c)
				for range 200 {
					c.packet(flood)
				}
				w.wait("connection refused")
				w.stop()
				noGoroutineOf(t, "golang.org/x/crypto/ssh.(*handshakeTransport)")
			})
		}
	}
}

// The same from a client that was let in.
func TestFloodBehindAFaultOfAClient(t *testing.T) {
	w := serve(t, "/bin/true")
	c := handshake(t, w.addr)
	c.request("ssh-userauth")
	c.authenticate("backup", w.key)
	c.packet([]byte{msgChannelData, 0, 0, 0, 99, 0, 0, 0, 0}) // of no channel
	for range 200 {
		c.packet([]byte{msgChannelData, 0, 0, 0, 99, 0, 0, 0, 0})
	}
	w.wait("connection ended")
	w.stop()
	noGoroutineOf(t, "golang.org/x/crypto/ssh.(*handshakeTransport)")
}

// A client that sends more between the key exchange and the authentication than
// others do is slowed down, not refused.
func TestTalkativeClientIsLetIn(t *testing.T) {
	w := serve(t, "/bin/true")
	c := handshake(t, w.addr)
	for range 6 {
		c.packet(append([]byte{msgIgnore}, make([]byte, 60)...))
	}
	c.request("ssh-userauth")
	c.authenticate("backup", w.key)
	w.wait("connection accepted")
}

// noGoroutineOf waits until no goroutine of this process runs the function.
func noGoroutineOf(t *testing.T, function string) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(patience / 4); ; time.Sleep(time.Millisecond) {
		all := stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(all, []byte(function)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %s", all)
		}
	}
}
