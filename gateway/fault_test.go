package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway"
	"postern/registry"
)

// bomb is a list of revocations with a fault: it panics at one key.
type bomb struct {
	key ssh.PublicKey
	on  atomic.Bool
}

func (b *bomb) RevokedCertificate(*ssh.Certificate) bool { return false }
func (b *bomb) RevokedKey(key ssh.PublicKey) bool {
	if b.on.Load() && bytes.Equal(key.Marshal(), b.key.Marshal()) {
		panic("bomb")
	}
	return false
}

// A panic ends the connection that it happened on, and nothing else: while keys
// are verified, and in a session.
func TestPanicEndsOneConnection(t *testing.T) {
	other := newKey(t)
	b := &bomb{key: other.PublicKey()}
	w := serve(t, script(t, `cat`), with(registry.Client{Name: "other", Keys: []registry.Key{{Public: other.PublicKey()}}}), rule("other"),
		func(w *world, _ *clients) { w.config.Revocations = b })

	good := w.session()
	in, err := good.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := good.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	bad, _, err := w.dial("backup", other)
	if err != nil {
		t.Fatal(err)
	}
	b.on.Store(true)
	if _, _, err := w.dial("backup", other); err == nil {
		t.Error("a panic let someone in")
	}
	channel, requests := open(t, bad)
	ask(t, channel, "exec", text(w.push()))
	if got := status(t, requests); got != -1 {
		t.Errorf("status %d", got)
	}
	if err := bad.Wait(); err == nil {
		t.Error("the connection goes on")
	}
	for _, record := range w.waitFor("panic", 2) {
		if record["cause"] != "bomb" || !strings.Contains(record["stack"].(string), "RevokedKey") {
			t.Errorf("recorded %v", record)
		}
	}
	in.Write([]byte("still here\n"))
	if got := readLine(t, out); got != "still here\n" {
		t.Errorf("got %q", got)
	}
}

// What cannot be recorded does not happen.
func TestNothingHappensUnrecorded(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	w := serve(t, script(t, `echo > `+mark))
	client := w.client()
	w.trail.fail("session decided")
	out, complaints, status := w.run(client, w.push())
	if status != 126 || out != "" || complaints != "postern: refused: the gateway cannot keep its records; tell its operator to make room on the disk of its state\n" {
		t.Errorf("status %d, %q, %q", status, out, complaints)
	}
	if got := shell(t, client); got != "" {
		t.Errorf("a shell got %q", got)
	}
	w.trail.fail("connection accepted")
	if _, banners, err := w.dial("backup", w.key); err == nil || !strings.Contains(banners, "cannot keep its records") {
		t.Errorf("%v, %q", err, banners)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the program ran")
	}
	// It recovers by itself.
	w.trail.fail("")
	if _, _, status := w.run(client, w.push()); status != 0 {
		t.Errorf("status %d after there is room again", status)
	}
}

func TestServeNeedsAListener(t *testing.T) {
	w := serve(t, "/bin/true")
	server, err := gateway.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(t.Context()); err == nil {
		t.Error("serves nowhere")
	}
}

// exhausted is a listener that fails as one does without descriptors, until
// it is let go.
type exhausted struct {
	net.Listener
	left atomic.Int32
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return e.Listener.Accept()
}

// Running out of descriptors passes; a listener that was closed does not.
func TestListenersThatFail(t *testing.T) {
	w := serve(t, "/bin/true")
	w.stop()
	server, err := gateway.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tired := &exhausted{Listener: first}
	tired.left.Store(3)
	ended := make(chan error)
	go func() { ended <- server.Serve(context.Background(), tired, second) }()
	w.addr = first.Addr().String()
	client := w.client()
	if failed := w.waitFor("listener failed", 3); !strings.Contains(failed[0]["error"].(string), "too many open files") {
		t.Errorf("recorded %v", failed)
	}
	second.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Serve goes on without a listener")
	}
	if err := client.Wait(); err == nil {
		t.Error("the connection goes on")
	}
}
