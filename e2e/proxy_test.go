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
