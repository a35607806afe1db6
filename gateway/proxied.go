package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"postern/gateway/proxy"
)

// isProxy reports whether an address is that of a proxy, which says itself whom it
// connects for.
func (s *Server) isProxy(addr netip.Addr) bool {
	return slices.ContainsFunc(s.config.Proxies, func(n netip.Prefix) bool { return n.Contains(addr.WithZone("")) })
}

// introduced finds out whom a proxy connected for, and asks the door to let that one
// in. It reports whether the connection is to be served; otherwise its end needs no
// further record. One that comes without a proxy is introduced.
func (c *connection) introduced() bool {
	if c.awaited == nil {
		return true
	}
	defer c.awaited()
	defer c.survive()
	header, err := c.readHeader()
	if err != nil {
		c.refuseProxy(err)
		return false
	}
	c.behind = header.Behind
	if header.Source.IsValid() {
		c.about.Proxy, c.about.Address = c.peer.String(), header.Source.String()
		c.peer = header.Source
		err = c.knock()
	} else {
		c.checking = true
		c.visit, err = c.server.config.Door.KnockProxy(c.peer.Addr(), c.giveWay)
	}
	if err != nil {
		c.turnAway(err)
	}
	return err == nil
}

// readHeader reads the proxy's header, which has its own time.
func (c *connection) readHeader() (proxy.Header, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.server.config.ProxyGrace)); err != nil {
		return proxy.Header{}, fmt.Errorf("%w: %w", proxy.ErrSilent, err)
	}
	header, err := proxy.Read(c.Conn)
	return header, errors.Join(err, c.SetReadDeadline(time.Time{}))
}

// refuseProxy records that a proxy did not say whom it connected for; but not that it
// left without a word, by which many find out whether a server is there.
func (c *connection) refuseProxy(why error) {
	late := errors.Is(why, os.ErrDeadlineExceeded)
	if errors.Is(why, proxy.ErrSilent) && !late {
		return
	}
	text := "a proxy of connection.proxies: " + why.Error()
	switch {
	case errors.Is(why, proxy.ErrNoHeader), errors.Is(why, proxy.ErrSilent):
		text += "; have it send one, or take it out of connection.proxies"
	case late:
		text += "; it had " + c.server.config.ProxyGrace.String() + " for it"
	}
	// A record that fails here changes nothing: nothing was accepted.
	_ = c.server.config.Trail.ConnectionRefused(c.about, text)
}

// unsaid reports whether the connection is one by which a proxy finds out whether the
// gateway is there. There are many, and nothing can be told of them.
func (c *connection) unsaid() bool { return c.checking && c.heard.Load() == 0 }

// RemoteAddr implements [net.Conn]: it is whom a proxy connected for.
func (c *connection) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }

// greeting is what the first line of a client begins with (RFC 4253, 4.2).
const greeting = "SSH-"

// greet refuses what does not begin like that. The library takes any number of other
// lines first, a PROXY header among them: it would let a client in as if that had
// counted, and nobody would know why addresses are wrong.
func (c *connection) greet(read []byte) error {
	for _, b := range read {
		switch {
		case c.greeted == len(greeting):
			return nil
		case b == greeting[c.greeted]:
			c.greeted++
		case c.greeted == 0 && (b == 'P' || b == '\r'):
			return errors.New("it speaks no SSH, but perhaps the PROXY protocol; then name it in connection.proxies")
		default:
			return errors.New("it speaks no SSH")
		}
	}
	return nil
}
