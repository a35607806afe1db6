package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialer logs in to a world's gateway as no stock client would.
type dialer struct {
	w    *world
	user string
	auth []ssh.AuthMethod
	// first is sent before anything of SSH.
	first string
}

// signer returns keys/NAME.
func (w *world) signer(t *testing.T, name string) ssh.Signer {
	t.Helper()
	pem, err := os.ReadFile(w.path("keys/" + name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d dialer) dial() (*ssh.Client, error) {
	conn, err := net.Dial("tcp", d.w.server.Address())
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, d.first); err != nil {
		return nil, err
	}
	user := d.user
	if user == "" {
		user = login
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(d.w.server.HostKey()))
	if err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, "nas", &ssh.ClientConfig{User: user, Auth: d.auth, HostKeyCallback: ssh.FixedHostKey(key)})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// mustDial logs in with keys/NAME.
func mustDial(t *testing.T, w *world, name string) *ssh.Client {
	t.Helper()
	c, err := dialer{w: w, auth: []ssh.AuthMethod{ssh.PublicKeys(w.signer(t, name))}}.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// channel is a session whose requests are sent as they are.
type channel struct {
	ssh.Channel
	status chan uint32
}

func openSession(t *testing.T, c *ssh.Client) channel {
	t.Helper()
	ch, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	session := channel{ch, make(chan uint32, 1)}
	go func() {
		for r := range requests {
			if r.Type == "exit-status" && len(r.Payload) == 4 {
				session.status <- binary.BigEndian.Uint32(r.Payload)
			}
			// As every client does: the gateway asks whether it is there.
			r.Reply(false, nil)
		}
		close(session.status)
	}()
	t.Cleanup(func() { ch.Close() })
	return session
}

// finish reads both outputs to their end, and the exit status.
func (c channel) finish(t *testing.T) (stdout, stderr string, status uint32, ok bool) {
	t.Helper()
	errs := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(c.Stderr())
		errs <- string(b)
	}()
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	status, ok = <-c.status
	return string(out), <-errs, status, ok
}

// sshString is a string as SSH sends it.
func sshString(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// TestRawCommands sends commands that no shell and no stock client can send.
func TestRawCommands(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	w, _ := threatWorld(t)
	for _, row := range []struct {
		name    string
		payload []byte
	}{
		{"A2 empty command", sshString("")},
		{"A2 blank command", sshString(" ")},
		{"A10 NUL in a command", sshString("borg\x00serve")},
		{"A10 NUL in a path", sshString(pull + ". x\x00/../../k2/secret")},
		{"A10 NUL at the end", sshString(pull + ". x\x00")},
		{"A20 command of 200 KiB", sshString(pull + ". " + strings.Repeat("x ", 100<<10))},
		{"A20 100 000 arguments", sshString("rsync --server" + strings.Repeat(" .", 100_000))},
		{"A9 invalid UTF-8 that leads out", sshString(pull + ". ../\xff\xfe/../../k2")},
	} {
		t.Run(row.name, func(t *testing.T) {
			before, err := w.mark()
			if err != nil {
				t.Fatal(err)
			}
			client := mustDial(t, w, "k1")
			session := openSession(t, client)
			if ok, err := session.SendRequest("exec", true, row.payload); err != nil || !ok {
				t.Fatalf("the request was not taken (%v), so that nobody reads why: %v", ok, err)
			}
			session.CloseWrite()
			stdout, stderr, status, _ := session.finish(t)
			if stdout != "" || status != 126 {
				t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
			}
			if err := refusalLine(stderr); err != nil {
				t.Error(err)
			}
			client.Close()
			if err := before.nothingHappened(w); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRawRequests sends requests that a gateway for backups has no answer to.
func TestRawRequests(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	w, _ := threatWorld(t)
	pty := joined(sshString("xterm"), make([]byte, 16), sshString("\x00"))
	for _, row := range []struct {
		name, request string
		payload       []byte
	}{
		{"A3 exec shorter than it says", "exec", []byte{0, 0, 0, 'c', 'x'}},
		{"A3 exec without a payload", "exec", nil},
		{"A3 exec with more behind it", "exec", append(sshString("x"), 1, 2, 3)},
		{"H15 agent", "auth-agent-req@openssh.com", nil},
		{"H16 X11", "x11-req", joined([]byte{0}, sshString("MIT-MAGIC-COOKIE-1"), sshString("0\nadd x"), make([]byte, 4))},
		{"H17 terminal", "pty-req", pty},
		{"H17 terminal whose name is 4 GiB long", "pty-req", append([]byte{0xff, 0xff, 0xff, 0xff}, pty...)},
		{"H18 subsystem sftp", "subsystem", sshString("sftp")},
		{"H18 subsystem netconf", "subsystem", sshString("netconf")},
		{"H18 subsystem without a name", "subsystem", sshString("")},
		{"H18 subsystem of 200 KB", "subsystem", sshString(strings.Repeat("x", 200_000))},
		{"F1 loader", "env", append(sshString("LD_PRELOAD"), sshString("/x.so")...)},
		{"F8 shellshock", "env", append(sshString("BASH_FUNC_x%%"), sshString("() { id; }")...)},
		{"F10 env that is an option", "env", append(sshString("--split-string=id"), sshString("")...)},
		{"unknown request", "frobnicate@example.com", sshString("x")},
		{"window change before a terminal", "window-change", make([]byte, 16)},
		{"signal before a command", "signal", sshString("KILL")},
	} {
		t.Run(row.name, func(t *testing.T) {
			before, err := w.mark()
			if err != nil {
				t.Fatal(err)
			}
			client := mustDial(t, w, "k1")
			session := openSession(t, client)
			if ok, _ := session.SendRequest(row.request, true, row.payload); ok {
				t.Error("the request was granted")
			}
			if row.request != "exec" {
				stillServes(t, session)
			}
			client.Close()
			if err := before.nothingHappened(w); err != nil {
				t.Error(err)
			}
			if _, stderr, status, err := w.run("ssh", "k1"); err != nil || status != 0 {
				t.Errorf("afterwards the gateway is gone for others: status %d, %s %v", status, stderr, err)
			}
		})
	}
}

// stillServes sends a command on a channel whose other request was refused: a
// client that only asked is not cut off. The command is one that the gateway
// answers itself.
func stillServes(t *testing.T, session channel) {
	t.Helper()
	if ok, err := session.SendRequest("exec", true, sshString("borg --version")); err != nil || !ok {
		t.Fatalf("after it a command is not taken: %v %v", ok, err)
	}
	if stdout, stderr, status, ok := session.finish(t); !ok || status != 0 || !strings.HasPrefix(stdout, "borg ") {
		t.Errorf("after it a command gave status %d, %q, %q", status, stdout, stderr)
	}
}

// TestRawForwarding asks for channels and global requests that lead elsewhere.
func TestRawForwarding(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	w, _ := threatWorld(t)
	before, err := w.mark()
	if err != nil {
		t.Fatal(err)
	}
	client := mustDial(t, w, "k1")
	tcp := joined(sshString("127.0.0.1"), []byte{0, 0, 0, 22}, sshString("127.0.0.1"), []byte{0, 0, 0, 1})
	for _, kind := range []string{
		"direct-tcpip", "direct-streamlocal@openssh.com", "forwarded-tcpip", "forwarded-streamlocal@openssh.com", "tun@openssh.com", "x11",
		"auth-agent@openssh.com", "", "session2", strings.Repeat("x", 10_000),
	} {
		if ch, _, err := client.OpenChannel(kind, tcp); err == nil {
			ch.Close()
			t.Errorf("H13: the gateway opened a channel %.40q", kind)
		}
	}
	for _, kind := range []string{
		"tcpip-forward", "cancel-tcpip-forward", "streamlocal-forward@openssh.com", "cancel-streamlocal-forward@openssh.com",
		"hostkeys-prove-00@openssh.com", "no-more-sessions@openssh.com", "", strings.Repeat("x", 10_000),
	} {
		if ok, _, _ := client.SendRequest(kind, true, joined(sshString("127.0.0.1"), make([]byte, 4))); ok {
			t.Errorf("H14: the gateway granted the global request %.40q", kind)
		}
	}
	stillServes(t, openSession(t, client))
	client.Close()
	if err := before.nothingHappened(w); err != nil {
		t.Error(err)
	}
}

// TestRawFloods does more of something than anybody has a use for; the gateway
// may cut that connection, and no other.
func TestRawFloods(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	w, _ := threatWorld(t)
	for name, flood := range map[string]func(t *testing.T, c *ssh.Client){
		"H20 channels": func(t *testing.T, c *ssh.Client) {
			answers := make(chan error, 2000)
			for range cap(answers) {
				go func() {
					_, requests, err := c.OpenChannel("session", nil)
					if err == nil {
						go ssh.DiscardRequests(requests)
					}
					answers <- err
				}()
			}
			opened := 0
			for range cap(answers) {
				if <-answers != nil {
					break
				}
				opened++
			}
			if opened > 10 {
				t.Errorf("%d sessions at once on one connection", opened)
			}
		},
		"F11 environment": func(t *testing.T, c *ssh.Client) {
			session := openSession(t, c)
			value := append(sshString("X"), sshString(strings.Repeat("x", 30_000))...)
			for range 5000 {
				if _, err := session.SendRequest("env", false, value); err != nil {
					return
				}
			}
		},
		"H14 global requests": func(t *testing.T, c *ssh.Client) {
			for range 5000 {
				if _, _, err := c.SendRequest("tcpip-forward", false, nil); err != nil {
					return
				}
			}
		},
		"H13 channels of other kinds": func(t *testing.T, c *ssh.Client) {
			for range 5000 {
				if _, _, err := c.OpenChannel("direct-tcpip", nil); errors.Is(err, io.EOF) {
					return
				}
			}
		},
		"A20 command of a MiB, more than a packet may hold": func(t *testing.T, c *ssh.Client) {
			if ok, _ := openSession(t, c).SendRequest("exec", true, sshString(pull+". "+strings.Repeat("x ", 1<<19))); ok {
				t.Error("it was taken")
			}
		},
		"A20 commands on one channel": func(t *testing.T, c *ssh.Client) {
			session := openSession(t, c)
			taken := 0
			for range 1000 {
				ok, err := session.SendRequest("exec", true, sshString(push+". x"))
				if err != nil {
					break
				}
				if ok {
					taken++
				}
			}
			if taken > 1 {
				t.Errorf("%d commands on one channel", taken)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := mustDial(t, w, "k1")
			// x/crypto can wait for ever for a channel that it asked for
			// while the connection ended.
			over := make(chan struct{}, 2)
			go func() { flood(t, c); over <- struct{}{} }()
			go func() { c.Wait(); over <- struct{}{} }()
			<-over
			c.Close()
			if _, stderr, status, err := w.run("ssh", "k1"); err != nil || status != 0 {
				t.Errorf("afterwards the gateway is gone for others: status %d, %s %v", status, stderr, err)
			}
		})
	}
}

// TestRawLogins tries to log in without the right to.
func TestRawLogins(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	w := newTestWorld(t, atFull)
	if err := w.makeKey("weak", "rsa:2048"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"k1 rsync:nas/k1", "far from=[192.0.2.0/24] rsync:nas/far", "weak key=weak rsync:nas/weak"} {
		if _, err := w.addClient(strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
	touch, lazy := newSecurityKey(t), newSecurityKey(t)
	w.clients = append(w.clients,
		&client{name: "touch", fields: []string{"keys: [" + fmt.Sprintf("%q", touch.line("")) + "]"}},
		&client{name: "lazy", fields: []string{"keys: [" + fmt.Sprintf("%q", lazy.line("no-touch-required ")) + "]"}})
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	k1 := w.signer(t, "k1")
	var strangers []ssh.Signer
	for range 20 {
		strangers = append(strangers, newSigner(t))
	}
	answer := func(string, string, []string, []bool) ([]string, error) { return []string{"x"}, nil }
	sha1, err := ssh.NewSignerWithAlgorithms(w.signer(t, "weak").(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	for name, auth := range map[string][]ssh.AuthMethod{
		"H1 none":                       {},
		"H5 password":                   {ssh.Password("")},
		"H5 keyboard-interactive":       {ssh.KeyboardInteractive(answer)},
		"H6 twenty keys and the right":  {ssh.PublicKeys(append(strangers, k1)...)},
		"H2 a key that was offered":     {ssh.PublicKeys(forged{k1, newSigner(t)})},
		"H2 a broken signature":         {ssh.PublicKeys(forged{k1, nil})},
		"H7 an address that is not in":  {ssh.PublicKeys(w.signer(t, "far"))},
		"H10 a key that nobody touched": {ssh.PublicKeys(touch)},
		"H11 RSA with SHA-1":            {ssh.PublicKeys(sha1)},
		"a stranger":                    {ssh.PublicKeys(strangers[0])},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := (dialer{w: w, auth: auth}).dial(); err == nil {
				c.Close()
				t.Error("the gateway let it in")
			}
		})
	}
	t.Run("H8 PROXY header of a stranger", func(t *testing.T) {
		for _, header := range []string{"PROXY TCP4 192.0.2.7 127.0.0.1 1000 2222\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x03\xe8\x08\xae"} {
			if c, err := (dialer{w: w, first: header, auth: []ssh.AuthMethod{ssh.PublicKeys(w.signer(t, "far"))}}).dial(); err == nil {
				c.Close()
				t.Error("the gateway believed the header")
			}
		}
	})
	touch.touched = true
	for name, key := range map[string]ssh.Signer{"k1": k1, "touch": touch, "lazy": lazy} {
		t.Run("the right key of "+name, func(t *testing.T) {
			c, err := dialer{w: w, auth: []ssh.AuthMethod{ssh.PublicKeys(key)}}.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			session := openSession(t, c)
			if ok, err := session.SendRequest("shell", true, nil); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if stdout, _, _, _ := session.finish(t); !strings.Contains(stdout, fmt.Sprintf("client %q", name)) {
				t.Errorf("it is %q", stdout)
			}
		})
	}
}

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
