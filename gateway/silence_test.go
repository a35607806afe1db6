package gateway_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// H24: whoever does not prove who they are in time is cut off, at whatever
// stage, and however many bytes they trickle.
func TestLoginGrace(t *testing.T) {
	for name, approach := range map[string]func(*world){
		"says nothing":     func(w *world) { dialRaw(w) },
		"half a version":   func(w *world) { io.WriteString(dialRaw(w), "SSH-2.0-") },
		"no key exchange":  func(w *world) { io.WriteString(dialRaw(w), "SSH-2.0-x\r\n") },
		"no service":       func(w *world) { handshake(w.t, w.addr) },
		"no attempt":       func(w *world) { handshake(w.t, w.addr).request("ssh-userauth") },
		"attempts in vain": func(w *world) { c := handshake(w.t, w.addr); c.request("ssh-userauth"); c.packet(userauth("x")) },
		"trickles": func(w *world) {
			conn := dialRaw(w)
			go func() {
				for {
					if _, err := io.WriteString(conn, "x"); err != nil {
						return
					}
					time.Sleep(time.Millisecond) // the attack itself: one byte at a time
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := serve(t, "/bin/true", func(w *world, _ *clients) { w.config.LoginGrace = time.Second })
			approach(w)
			if refused := w.wait("connection refused"); refused["why"] != "nobody proved who they are in time" && name != "trickles" {
				t.Errorf("recorded %v", refused)
			}
		})
	}
}

func dialRaw(w *world) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// The grace ends with the proof: a client may then take its time.
func TestGraceEndsWithTheProof(t *testing.T) {
	gate := newGate(t)
	w := serve(t, script(t, `read x < `+gate.path+`; echo done`), func(w *world, _ *clients) { w.config.LoginGrace = time.Second })
	s := w.session()
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	// Another peer that begins now is cut off after the first would have been.
	dialRaw(w)
	w.wait("connection refused")
	gate.open()
	if got := readLine(t, out); got != "done\n" {
		t.Errorf("got %q", got)
	}
}

// wire is a connection that can be held up without being closed, as a line that
// is cut or a machine that sleeps.
type wire struct {
	net.Conn
	mu   sync.Mutex
	held bool
	move *sync.Cond
}

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn}
	w.move = sync.NewCond(&w.mu)
	return w
}

func (w *wire) hold(held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = held
	w.move.Broadcast()
}

func (w *wire) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.held {
		w.move.Wait()
	}
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.wait()
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	w.wait()
	return w.Conn.Write(b)
}

// dialWire connects the laptop over a wire.
func (w *world) dialWire() (*ssh.Client, *wire) {
	w.t.Helper()
	line := newWire(dialRaw(w))
	conn, channels, requests, err := ssh.NewClientConn(line, w.addr, &ssh.ClientConfig{
		User: "backup", HostKeyCallback: ssh.FixedHostKey(w.host), Auth: []ssh.AuthMethod{ssh.PublicKeys(w.key)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	client := ssh.NewClient(conn, channels, requests)
	w.t.Cleanup(func() { line.hold(false); client.Close() })
	return client, line
}

// G17: a client that is gone without a word is found out, and its child ends.
func TestSilentClientIsGone(t *testing.T) {
	for name, lines := range map[string]string{
		"while the child waits":  stubborn,
		"while the child writes": "echo $$ $$; exec yes",
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, script(t, lines), func(w *world, _ *clients) { w.config.KeepAlive = 200 * time.Millisecond })
			client, line := w.dialWire()
			child, grandchild := startStubborn(t, w, newSession(t, client))
			t.Cleanup(func() { line.hold(false) })
			line.hold(true)
			if ended := w.wait("session ended"); ended["why"] != "the client answered no keepalive" {
				t.Errorf("recorded %v", ended)
			}
			waitGone(t, child)
			waitGone(t, grandchild)
			if ended := w.wait("connection ended"); ended["why"] != "the client answered no keepalive" {
				t.Errorf("recorded %v", ended)
			}
		})
	}
}

// A client that is quiet but there stays, for many times the interval.
func TestQuietClientStays(t *testing.T) {
	gate := newGate(t)
	w := serve(t, script(t, `read x < `+gate.path+`; echo done`), func(w *world, _ *clients) { w.config.KeepAlive = 200 * time.Millisecond })
	client := w.client()
	s := newSession(t, client)
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	// A silent one is gone by the time that the quiet one is asked again.
	_, line := w.dialWire()
	line.hold(true)
	w.wait("connection ended")
	gate.open()
	if got := readLine(t, out); got != "done\n" {
		t.Errorf("got %q", got)
	}
}

// H28: the line is reset rather than closed.
func TestConnectionReset(t *testing.T) {
	w := serve(t, script(t, stubborn))
	client, line := w.dialWire()
	child, grandchild := startStubborn(t, w, newSession(t, client))
	if err := line.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	line.Close()
	waitGone(t, child)
	waitGone(t, grandchild)
	if ended := w.wait("session ended"); ended["why"] != "the connection was lost" {
		t.Errorf("recorded %v", ended)
	}
}

// Garbage in place of SSH.
func TestGarbage(t *testing.T) {
	w := serve(t, "/bin/true")
	for _, garbage := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", strings.Repeat("x", 1<<20), "SSH-1.5-x\r\n", "SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"SSH-2.0-x\r\n\x00\x03\xff\xfc\x04", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nSSH-2.0-x\r\n", "\r\n\r\n\r\n", "\x00",
	} {
		conn := dialRaw(w)
		io.WriteString(conn, garbage)
		conn.(*net.TCPConn).CloseWrite()
		conn.SetDeadline(time.Now().Add(patience))
		io.Copy(io.Discard, conn)
	}
	w.waitFor("connection refused", 9)
	w.none("panic")
	w.none("connection accepted")
}
