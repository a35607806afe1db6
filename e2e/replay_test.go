package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// record has OpenSSH make a connection through a proxy, and returns what it sent.
func (w *world) record(t *testing.T) []byte {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var sent bytes.Buffer
	var wait sync.WaitGroup
	wait.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		gateway, err := net.Dial("tcp", w.server.Address())
		if err != nil {
			return
		}
		defer gateway.Close()
		wait.Go(func() { io.Copy(client, gateway); client.(*net.TCPConn).CloseWrite() })
		io.Copy(io.MultiWriter(gateway, &sent), client)
	})
	_, port, err := splitAddress(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, complaints, status, err := w.run("ssh", "-p", port, "nas"); err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s", status, err, complaints)
	}
	l.Close()
	wait.Wait()
	if sent.Len() < 1000 {
		t.Fatalf("OpenSSH sent only %d bytes", sent.Len())
	}
	return sent.Bytes()
}

// replays are what was recorded, cut at each byte, and with a bit turned in each.
func replays(recorded []byte) []visit {
	var all []visit
	for i := range recorded {
		flipped := bytes.Clone(recorded)
		flipped[i] ^= 1 << (i % 8)
		all = append(all, raw("replay up to a byte", recorded[:i]), raw("replay with a bit turned", flipped))
	}
	return append(all, raw(fmt.Sprintf("replay of all %d bytes", len(recorded)), recorded))
}
