package gateway_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// greeted is a connection to which the gateway has said something.
type greeted struct {
	net.Conn
	w    *world
	said *bufio.Reader
}

func (w *world) greeted() *greeted {
	w.t.Helper()
	conn := w.from("127.0.0.1")
	g := &greeted{Conn: conn, w: w, said: bufio.NewReader(conn)}
	if _, err := g.said.Peek(1); err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (g *greeted) Read(b []byte) (int, error) { return g.said.Read(b) }

func (g *greeted) signIn() *ssh.Client {
	g.w.t.Helper()
	conn, channels, requests, err := ssh.NewClientConn(g, g.w.addr, &ssh.ClientConfig{
		User: "backup", HostKeyCallback: ssh.FixedHostKey(g.w.host), Auth: []ssh.AuthMethod{ssh.PublicKeys(g.w.key)},
	})
	if err != nil {
		g.w.t.Fatal(err)
	}
	return ssh.NewClient(conn, channels, requests)
}

// A gateway that steps aside serves on whoever has come, also who is still on the way
// in, and ends after the last of them.
func TestStepAside(t *testing.T) {
	one := held(t, `:`, `exit 3`)
	w := one.w
	arriving := w.greeted()
	idle := w.client()
	w.server.StepAside()
	for open := true; open; {
		conn, err := net.Dial("tcp", w.addr)
		if open = err == nil; open {
			conn.Close()
		}
	}
	late := arriving.signIn()
	// Sessions go on, also new ones.
	second := newSession(t, one.client)
	if err := second.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	third := newSession(t, idle)
	out, err := third.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	readLine(t, out)
	if _, complaints, status := w.run(late, "whoami"); status != 126 || complaints == "" {
		t.Errorf("%q, status %d", complaints, status)
	}
	for range 3 {
		one.gate.open()
	}
	for _, s := range []interface{ Wait() error }{one, second, third} {
		if status := exitStatus(t, s.Wait()); status != 3 {
			t.Errorf("status %d", status)
		}
	}
	// After their last session connections end, whether their clients leave or not.
	for _, c := range []interface{ Wait() error }{one.client, idle, late} {
		if err := c.Wait(); err == nil {
			t.Error("the connection ended by itself")
		}
	}
	w.ends()
	for _, ended := range w.waitFor("connection ended", 3) {
		if ended["why"] != "the gateway was upgraded" {
			t.Errorf("recorded %v", ended)
		}
	}
}

// Who never asks for anything keeps a gateway that steps aside for a while only.
func TestStepAsideWithoutWork(t *testing.T) {
	w := serve(t, script(t, `exit 0`), func(w *world, _ *clients) { w.config.LoginGrace = 200 * time.Millisecond })
	w.client()
	w.server.StepAside()
	w.ends()
	if ended := w.wait("connection ended"); ended["why"] != "the gateway was upgraded" || ended["sessions"] != 0. {
		t.Errorf("recorded %v", ended)
	}
}

// It can still be told to retire.
func TestStepAsideAndRetire(t *testing.T) {
	one := held(t, `:`, `exit 0`)
	idle := one.w.client()
	one.w.server.StepAside()
	one.w.server.Retire(long)
	if err := idle.Wait(); err == nil {
		t.Error("a connection without a session ended by itself")
	}
	one.gate.open()
	one.w.ends()
}
