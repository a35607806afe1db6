package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// cutter is a bad line: a proxy that resets its first connection as soon as a
// given number of bytes has passed in one direction.
type cutter struct {
	listener net.Listener
	wait     sync.WaitGroup
}

// newCutter listens for one connection to target. With up the bytes from the
// client are counted, else those from the server.
func newCutter(target string, bytes int64, up bool) (*cutter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &cutter{listener: l}
	c.wait.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			client.Close()
			return
		}
		relay(client.(*net.TCPConn), server.(*net.TCPConn), bytes, up)
	})
	return c, nil
}

// relay copies both ways until one direction has had its share or has ended,
// and then resets both.
func relay(client, server *net.TCPConn, bytes int64, up bool) {
	limits := map[bool]int64{up: bytes, !up: 1 << 62}
	over := make(chan struct{}, 2)
	copying := func(to, from *net.TCPConn, limit int64) {
		io.CopyN(to, from, limit)
		over <- struct{}{}
	}
	go copying(server, client, limits[true])
	go copying(client, server, limits[false])
	<-over
	for _, conn := range []*net.TCPConn{client, server} {
		conn.SetLinger(0)
		conn.Close()
	}
	<-over
}

func (c *cutter) close() {
	c.listener.Close()
	c.wait.Wait()
}

// connectMain is the command "connect HOST:PORT", a ProxyCommand that hands the
// connection itself to ssh (ProxyUseFdpass), so that a client may be told any
// port, as in a recipe that someone follows, and still reach the test's own.
func connectMain() {
	if err := connect(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		os.Exit(1)
	}
}

func connect(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	return unix.Sendmsg(1, []byte{0}, unix.UnixRights(int(file.Fd())), nil, 0)
}

// front is a proxy that says whom it connects for, as haproxy does with send-proxy.
type front struct {
	listener net.Listener
	wait     sync.WaitGroup
}

// newFront listens, and connects to target from an address of this host, each time
// with a header first.
func newFront(target, from, header string) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{listener: l}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	f.wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			f.wait.Go(func() { forward(client, dialer, target, header) })
		}
	})
	return f, nil
}

// forward carries one connection to its end.
func forward(client net.Conn, dialer net.Dialer, target, header string) {
	defer client.Close()
	server, err := dialer.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	io.WriteString(server, header)
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(client, server)
		client.(*net.TCPConn).CloseWrite()
	})
	io.Copy(server, client)
	server.(*net.TCPConn).CloseWrite()
	back.Wait()
}

func (f *front) close() {
	f.listener.Close()
	f.wait.Wait()
}

// proxyHeader is what a proxy says of a client at an address of IPv4.
func proxyHeader(version, source string) (string, error) {
	ip := net.ParseIP(source).To4()
	switch {
	case ip == nil:
	case version == "v1":
		return "PROXY TCP4 " + source + " 127.0.0.1 50001 2222\r\n", nil
	case version == "v2":
		addresses := append(ip[:4:4], 127, 0, 0, 1, 50001>>8, 50001&0xff, 2222>>8, 2222&0xff)
		return "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + string(addresses), nil
	}
	return "", fmt.Errorf("no header of %q for %q", version, source)
}
