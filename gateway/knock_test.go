package gateway_test

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway/door"
	"postern/registry"
)

// from connects from another address of loopback.
func (w *world) from(address string) net.Conn {
	w.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
	conn, err := dialer.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// signIn signs in from an address.
func (w *world) signIn(address string, key ssh.Signer) error {
	w.t.Helper()
	conn, _, _, err := ssh.NewClientConn(w.from(address), w.addr, &ssh.ClientConfig{
		User: "backup", HostKeyCallback: ssh.FixedHostKey(w.host), Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
	})
	if err == nil {
		conn.Close()
	}
	return err
}

// turnedAway reports whether the gateway begins no SSH with an address.
func (w *world) turnedAway(address string) bool {
	w.t.Helper()
	line, _ := io.ReadAll(io.LimitReader(w.from(address), int64(len("postern: not now"))))
	return !strings.HasPrefix(string(line), "SSH-")
}

func strict(config door.Config) func(*world, *clients) {
	return func(w *world, _ *clients) { w.config.Door = door.New(config) }
}

// Whoever fails often is dropped before any cryptography. Others are not.
func TestSourceThatFailsIsDropped(t *testing.T) {
	w := serve(t, "/bin/true", strict(door.Config{Penalties: door.Penalties{AuthFail: time.Minute, Min: 2 * time.Minute}}))
	const bad = "127.0.0.66"
	for range 3 { // the first of which is a little less by then
		if err := w.signIn(bad, newKey(t)); err == nil {
			t.Fatal("a key that nobody knows was let in")
		}
	}
	w.waitFor("connection refused", 3)
	if !w.turnedAway(bad) {
		t.Error("it is served")
	}
	if r := w.waitFor("connection refused", 4)[3]; !strings.HasPrefix(r["why"].(string), "127.0.0.66/32 is barred for ") {
		t.Errorf("recorded %v", r)
	}
	if err := w.signIn("127.0.0.1", w.key); err != nil {
		t.Error(err)
	}
}

// A registered key from an allowed address is not locked out by others behind the
// same NAT: it gets in.
func TestRegisteredKeyBehindABarredAddress(t *testing.T) {
	w := serve(t, "/bin/true", strict(door.Config{}))
	const nat = "127.0.0.77"
	if err := w.signIn(nat, w.key); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := w.signIn(nat, newKey(t)); err == nil {
			t.Fatal("a key that nobody knows was let in")
		}
		if err := w.signIn(nat, w.key); err != nil {
			t.Fatal(err)
		}
	}
}

// A client that never came before gets in where its file names the address, from the
// start or after a change.
func TestExpectedKeyBehindABarredAddress(t *testing.T) {
	const nat, late = "127.0.0.77", "127.0.0.78"
	var all clients
	w := serve(t, "/bin/true", strict(door.Config{}), func(_ *world, c *clients) {
		(*c)[0].From = []netip.Prefix{netip.MustParsePrefix(nat + "/32")}
		all = slices.Clone(*c)
	})
	w.fails(nat)
	if err := w.signIn(nat, w.key); err != nil {
		t.Error(err)
	}
	w.fails(late)
	for !w.turnedAway(late) { // one is let in in some seconds
	}
	all[0].From = []netip.Prefix{netip.MustParsePrefix(late + "/32")}
	w.replace(all...)
	if err := w.signIn(late, w.key); err != nil {
		t.Error(err)
	}
}

// fails has unknown keys fail from an address, more often than bars it.
func (w *world) fails(address string) {
	w.t.Helper()
	for range 5 {
		if err := w.signIn(address, newKey(w.t)); err == nil {
			w.t.Fatal("a key that nobody knows was let in")
		}
	}
}

// What each way to fail counts for. A minimum that it alone reaches bars.
func TestFailuresThatCount(t *testing.T) {
	disabled := newKey(t)
	for name, c := range map[string]struct {
		penalties door.Penalties
		fail      func(*world)
	}{
		"noauth":            {door.Penalties{NoAuth: time.Minute}, func(w *world) { dialRaw(w).Close() }},
		"garbage is noauth": {door.Penalties{NoAuth: time.Minute}, func(w *world) { io.WriteString(dialRaw(w), "SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff") }},
		"authfail":          {door.Penalties{AuthFail: time.Minute}, func(w *world) { w.dial("x", newKey(t)) }},
		"refuseconnection":  {door.Penalties{RefuseConnection: time.Minute}, func(w *world) { w.dial("x", disabled) }},
		"grace":             {door.Penalties{GraceExceeded: time.Minute}, func(w *world) { dialRaw(w) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.penalties.Min = 30 * time.Second
			w := serve(t, "/bin/true", strict(door.Config{Penalties: c.penalties}), func(w *world, all *clients) {
				w.config.LoginGrace = 500 * time.Millisecond
				*all = append(*all, registry.Client{Name: "off", Disabled: true, Keys: []registry.Key{{Public: disabled.PublicKey()}}})
			})
			c.fail(w)
			w.wait("connection refused")
			if !w.turnedAway("127.0.0.1") {
				t.Error("it is served")
			}
		})
	}
}

// A client that was not let in because the gateway cannot write is not punished.
func TestFaultOfTheGatewayIsNobodysPenalty(t *testing.T) {
	w := serve(t, "/bin/true", strict(door.Config{Penalties: door.Penalties{AuthFail: time.Hour, NoAuth: time.Hour, RefuseConnection: time.Hour}}))
	w.trail.fail("connection accepted")
	if err := w.signIn("127.0.0.1", w.key); err == nil {
		t.Fatal("let in without a record")
	}
	w.wait("connection refused")
	w.trail.fail("")
	if err := w.signIn("127.0.0.1", w.key); err != nil {
		t.Error(err)
	}
}

// Peers that say nothing fill their own places only.
func TestSilentPeersOfOneSource(t *testing.T) {
	w := serve(t, "/bin/true", strict(door.Config{PerSource: 2}))
	for range 2 {
		w.from("127.0.0.66")
	}
	if !w.turnedAway("127.0.0.66") {
		t.Error("a third one is served")
	}
	if err := w.signIn("127.0.0.1", w.key); err != nil {
		t.Error(err)
	}
}

// Who gives way to another of its source ends at once, and nothing of it is left.
func TestSilentPeerGivesWay(t *testing.T) {
	w := serve(t, "/bin/true", strict(door.Config{PerSource: 1}))
	if err := w.signIn("127.0.0.1", w.key); err != nil {
		t.Fatal(err)
	}
	silent := w.from("127.0.0.1")
	for deadline := time.Now().Add(patience); w.turnedAway("127.0.0.1"); {
		if time.Now().After(deadline) {
			t.Fatal("nobody else comes in")
		}
	}
	if _, err := io.Copy(io.Discard, silent); err != nil {
		t.Errorf("it is still there: %v", err)
	}
}
