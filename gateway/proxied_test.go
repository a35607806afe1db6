package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway/door"
)

// The proxy of these tests, and whom it connects for.
const (
	proxyHost  = "127.0.0.90"
	farAddress = "192.0.2.7"
)

// behindProxy has a gateway believe the proxy, and nobody else.
func behindProxy(config door.Config) func(*world, *clients) {
	return func(w *world, all *clients) {
		w.config.Proxies = []netip.Prefix{netip.MustParsePrefix(proxyHost + "/32")}
		w.config.Door = door.New(config)
		(*all)[0].From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}
}

// headerFor is what the proxy says of somebody.
func headerFor(address string) string {
	return fmt.Sprintf("PROXY TCP4 %s 10.0.0.1 50001 2222\r\n", address)
}

// through connects from an address, sends something, and signs in.
func (w *world) through(host, header string, key ssh.Signer) error {
	w.t.Helper()
	conn := w.from(host)
	io.WriteString(conn, header)
	c, _, _, err := ssh.NewClientConn(conn, w.addr, &ssh.ClientConfig{
		User: "backup", HostKeyCallback: ssh.FixedHostKey(w.host), Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
	})
	if err == nil {
		c.Close()
	}
	return err
}

// says connects from the proxy, sends something, and returns what comes back.
func (w *world) says(host, text string) string {
	w.t.Helper()
	conn := w.from(host)
	io.WriteString(conn, text)
	conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// Rules, penalties, and records go by whom the proxy connects for.
func TestPeersBehindAProxy(t *testing.T) {
	w := serve(t, "/bin/true", behindProxy(door.Config{Penalties: door.Penalties{AuthFail: time.Minute, RefuseConnection: time.Second, Min: 50 * time.Second}}))
	if err := w.through(proxyHost, headerFor(farAddress), w.key); err != nil {
		t.Fatal(err)
	}
	r := w.wait("connection accepted")
	if r["address"] != farAddress+":50001" || !strings.HasPrefix(r["proxy"].(string), proxyHost+":") {
		t.Errorf("recorded %v", r)
	}
	const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x08\x0a\x00\x00\x01\xc3\x51\x08\xae"
	if err := w.through(proxyHost, v2, w.key); err != nil {
		t.Fatal(err)
	}
	if r := w.waitFor("connection accepted", 2)[1]; r["address"] != "192.0.2.8:50001" {
		t.Errorf("recorded %v", r)
	}
	if err := w.through(proxyHost, headerFor("198.51.100.1"), w.key); err == nil {
		t.Error("let in from where the client may not come from")
	}
	if err := w.through(proxyHost, headerFor("203.0.113.66"), newKey(t)); err == nil {
		t.Error("a key that nobody knows was let in")
	}
	w.waitFor("connection refused", 2)
	if answer := w.says(proxyHost, headerFor("203.0.113.66")); !strings.HasPrefix(answer, "postern: not now") {
		t.Errorf("it is served: %q", answer)
	}
	r = w.waitFor("connection refused", 3)[2]
	if why := r["why"].(string); !strings.HasPrefix(why, "203.0.113.66/32 is barred for ") || r["address"] != "203.0.113.66:50001" {
		t.Errorf("recorded %v", r)
	}
	if err := w.through(proxyHost, headerFor(farAddress), w.key); err != nil {
		t.Error(err)
	}
}

// What somebody else calls himself counts for nothing, nor what comes behind a
// proxy's header.
func TestNobodyElseIsBelieved(t *testing.T) {
	w := serve(t, "/bin/true", behindProxy(door.Config{}))
	header := headerFor(farAddress)
	for name, c := range map[string]struct{ host, sent, address, why string }{
		"a stranger":       {"127.0.0.66", header, "127.0.0.66:", "it speaks no SSH, but perhaps the PROXY protocol"},
		"in version 2":     {"127.0.0.66", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "127.0.0.66:", "it speaks no SSH, but perhaps the PROXY protocol"},
		"one behind it":    {proxyHost, headerFor("198.51.100.1") + header, "198.51.100.1:", "it speaks no SSH, but perhaps the PROXY protocol"},
		"with other lines": {"127.0.0.66", "hello\r\n" + header + "SSH-2.0-x\r\n", "127.0.0.66:", "it speaks no SSH"},
		"no header":        {proxyHost, "SSH-2.0-x\r\n", proxyHost, "it sent no PROXY header; have it send one"},
		"a bad one":        {proxyHost, "PROXY TCP4 192.0.2.7\r\n", proxyHost, "its PROXY header is malformed"},
		"of UNIX":          {proxyHost, "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("x", 216), proxyHost, "its PROXY header is for no TCP connection"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := w.trail.find("connection refused")
			if answer := w.says(c.host, c.sent); strings.Count(answer, "\n") > 1 {
				t.Errorf("answered %q", answer)
			}
			r := w.waitFor("connection refused", len(before)+1)[len(before)]
			if !strings.HasPrefix(r["address"].(string), c.address) || !strings.Contains(r["why"].(string), c.why) {
				t.Errorf("recorded %v", r)
			}
		})
	}
	if err := w.through("127.0.0.66", header, w.key); err == nil {
		t.Error("a stranger was let in as another")
	}
	w.none("connection accepted")
}

// A proxy that looks whether the gateway is well is answered, leaves no records, and
// gets no penalty for its clients.
func TestHealthChecksOfAProxy(t *testing.T) {
	w := serve(t, "/bin/true", behindProxy(door.Config{Penalties: door.Penalties{NoAuth: time.Hour, GraceExceeded: time.Hour}}))
	for range 5 {
		if answer := w.says(proxyHost, ""); answer != "" {
			t.Errorf("to nothing it answers %q", answer)
		}
		for _, header := range []string{"PROXY UNKNOWN\r\n", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
			if answer := w.says(proxyHost, header); !strings.HasPrefix(answer, "SSH-2.0-") {
				t.Errorf("to %q it answers %q", header, answer)
			}
		}
	}
	if err := w.through(proxyHost, headerFor(farAddress), w.key); err != nil {
		t.Error(err)
	}
	// As itself the proxy is anybody, and what it tries is on record.
	if err := w.through(proxyHost, "PROXY UNKNOWN\r\n", w.key); err == nil {
		t.Error("the proxy was let in as a client")
	}
	w.wait("key refused")
	w.stop()
	found, _ := w.trail.find("connection refused")
	if len(found) != 1 || !strings.HasPrefix(found[0]["address"].(string), proxyHost+":") || found[0]["proxy"] != nil {
		t.Errorf("recorded %v", found)
	}
}

// A proxy that says nothing holds up nobody, and not for long.
func TestSilentProxy(t *testing.T) {
	w := serve(t, "/bin/true", behindProxy(door.Config{PerSource: 1, Startups: door.Startups{Start: 3, Rate: 100, Full: 3}}), func(w *world, _ *clients) {
		w.config.ProxyGrace = 500 * time.Millisecond
	})
	half := w.from(proxyHost)
	io.WriteString(half, "PROXY TCP4 ")
	silent := w.from(proxyHost)
	if err := w.through(proxyHost, headerFor(farAddress), w.key); err != nil {
		t.Error(err)
	}
	for _, conn := range []net.Conn{half, silent} {
		if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
			t.Errorf("%q, %v", answer, err)
		}
	}
	said := fmt.Sprint(w.waitFor("connection refused", 2))
	for _, want := range []string{"its PROXY header is malformed", "it sent nothing", "; have it send one"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in %s", want, said)
		}
	}
}

// Those that proxies say nothing of are bounded, and end with the gateway.
func TestManySilentConnectionsOfAProxy(t *testing.T) {
	w := serve(t, "/bin/true", behindProxy(door.Config{Startups: door.Startups{Start: 3, Rate: 100, Full: 3}}), func(w *world, _ *clients) {
		w.config.ProxyGrace = time.Hour
	})
	for range 3 {
		w.from(proxyHost)
	}
	if answer := w.says(proxyHost, headerFor(farAddress)); !strings.HasPrefix(answer, "postern: not now") {
		t.Errorf("a fourth one is awaited: %q", answer)
	}
	if answer := w.says("127.0.0.1", ""); !strings.HasPrefix(answer, "SSH-2.0-") {
		t.Errorf("another is answered %q", answer)
	}
	w.stop()
}
