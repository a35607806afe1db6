package gateway_test

import (
	"context"
	"net"
	"testing"
	"time"

	"postern/gateway"
)

func TestAlive(t *testing.T) {
	w := serve(t, script(t, `echo ok`))
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := w.server.Alive(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if out, _, status := w.run(w.client(), w.push()); out != "ok\n" || status != 0 {
		t.Errorf("after that it serves %q, status %d", out, status)
	}
	w.server.Retire(long)
	if err := w.server.Alive(t.Context()); err != nil {
		t.Error(err)
	}
}

// deaf is a listener from which nobody takes anything before it hears.
type deaf struct {
	*net.TCPListener
	hears chan struct{}
}

func (d deaf) Accept() (net.Conn, error) {
	<-d.hears
	return d.TCPListener.Accept()
}

func TestNotAlive(t *testing.T) {
	w := serve(t, "/bin/true")
	w.stop()
	server, err := gateway.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := deaf{l.(*net.TCPListener), make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, d) }()
	for server.Alive(done()) == nil { // until it serves
		time.Sleep(time.Millisecond)
	}
	close(d.hears)
	if err := server.Alive(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// done returns a context that is.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
