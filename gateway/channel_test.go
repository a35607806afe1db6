package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"postern/policy"
	"postern/registry"
)

// open opens a session channel that the test drives itself.
func open(t *testing.T, client *ssh.Client) (ssh.Channel, <-chan *ssh.Request) {
	t.Helper()
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { channel.Close() })
	return channel, requests
}

// ask sends a channel request and returns the answer.
func ask(t *testing.T, channel ssh.Channel, kind string, payload []byte) bool {
	t.Helper()
	ok, err := channel.SendRequest(kind, true, payload)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return ok
}

func text(s string) []byte { return ssh.Marshal(struct{ Text string }{s}) }

func pair(a, b string) []byte { return ssh.Marshal(struct{ A, B string }{a, b}) }

// status waits for the end of a channel and returns the exit status.
func status(t *testing.T, requests <-chan *ssh.Request) int {
	t.Helper()
	got := -1
	for req := range requests {
		if req.Type == "exit-status" {
			var message struct{ Status uint32 }
			if err := ssh.Unmarshal(req.Payload, &message); err != nil {
				t.Fatal(err)
			}
			got = int(message.Status)
		}
	}
	return got
}

// F1 to F10, H13 to H18: what a session may be asked for and must not get. None
// of it ends the session: the exec that follows works, and shows no trace of it.
func TestRequestsAreRefusedAndSurvived(t *testing.T) {
	huge := append([]byte{0xff, 0xff, 0xff, 0xff}, "xterm"...)
	w := serve(t, script(t, `env | sort; tty`))
	channel, requests := open(t, w.client())
	for _, c := range []struct {
		kind    string
		payload []byte
	}{
		{"pty-req", ssh.Marshal(struct {
			Term       string
			C, R, W, H uint32
			Modes      string
		}{"xterm", 80, 24, 0, 0, ""})},
		{"pty-req", huge}, // overflows in the library's own handler, which panics
		{"pty-req", nil},
		{"env", pair("LD_PRELOAD", "/tmp/evil.so")},
		{"env", pair("BASH_FUNC_x%%", "() { :; }; id")},
		{"env", pair("BORG_LOGGING_CONF", "/tmp/x")},
		{"env", pair("PATH", "/tmp")},
		{"env", pair("--split-string", "id")}, // F10 environment as arguments
		{"env", pair("LANG", "C\x00X=Y")},
		{"env", huge},
		{"env", text("short")},
		{"auth-agent-req@openssh.com", nil},
		{"x11-req", ssh.Marshal(struct {
			Single           bool
			Protocol, Cookie string
			Screen           uint32
		}{false, "MIT-MAGIC-COOKIE-1", "0;id", 0})},
		{"x11-req", huge},
		{"subsystem", text("sftp")},
		{"subsystem", text("netconf")},
		{"subsystem", text("")},
		{"subsystem", text(strings.Repeat("x", 30_000))},
		{"window-change", huge},
		{"signal", text("KILL")},
		{"break", []byte{0, 0, 0, 1}},
		{"xon-xoff", []byte{1}},
		{"exit-status", []byte{0, 0, 0, 0}},
		{"eow@openssh.com", nil},
		{"", nil},
		{strings.Repeat("k", 30_000), nil},
		{"\x1b[31m\xff", nil},
	} {
		if ask(t, channel, c.kind, c.payload) {
			t.Errorf("%.20q %.20q was accepted", c.kind, c.payload)
		}
	}
	if !ask(t, channel, "exec", text(w.push())) {
		t.Fatal("the exec was refused")
	}
	out, err := io.ReadAll(channel)
	if err != nil || string(out) != "HOME=/nonexistent\nLANG=C.UTF-8\nPATH=/usr/bin:/bin\nPWD="+w.data+"\nTZ=UTC0\nnot a tty\n" {
		t.Errorf("%v, %q", err, out)
	}
	if got := status(t, requests); got != 1 { // of tty
		t.Errorf("status %d", got)
	}
	channel.Close()
	refused := w.wait("requests refused")
	if kinds := fmt.Sprint(refused["kinds"]); !strings.Contains(kinds, "pty-req") || len(kinds) > 2000 {
		t.Errorf("recorded %v", refused)
	}
}

// What stock clients ask for beside: an agent, X11 and variables. (With -t they
// give up by themselves when they get no terminal, under sshd as well.)
func TestOpenSSHAsksForEverything(t *testing.T) {
	private := newPrivate(t)
	w := serve(t, script(t, `echo ran`), with(registry.Client{Name: "mine", Keys: []registry.Key{{Public: signer(t, private).PublicKey()}}}), rule("mine"))
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("DISPLAY", ":0")
	beside := []string{"-i", keyFile(t, private), "-A", "-X", "-o", "SendEnv=LC_*", "-o", "SetEnv=LD_PRELOAD=/x"}
	if out, complaints, status := w.openssh(append(beside, "127.0.0.1", w.push())...); status != 0 || out != "ran\n" {
		t.Errorf("status %d, %q, %q", status, out, complaints)
	}
}

// rule gives a client the laptop's rules.
func rule(name string) func(*world, *clients) {
	return func(_ *world, all *clients) {
		for i := range *all {
			if (*all)[i].Name == name {
				(*all)[i].Rules = (*all)[0].Rules
			}
		}
	}
}

// A1: there is no shell. Who asks for one reads what there is instead.
func TestShellDescribes(t *testing.T) {
	w := serve(t, "/bin/true")
	channel, requests := open(t, w.client())
	if !ask(t, channel, "shell", nil) {
		t.Fatal("refused")
	}
	out, err := io.ReadAll(channel)
	if err != nil || !strings.Contains(string(out), `You are client "laptop", with the key SHA256:`) || !strings.Contains(string(out), fmt.Sprintf("rsync  %q  read-write", w.data)) {
		t.Errorf("%v, %q", err, out)
	}
	if got := status(t, requests); got != 0 {
		t.Errorf("status %d", got)
	}
	w.stop()
	if decided := w.wait("session decided"); decided["verdict"] != "answer" {
		t.Errorf("recorded %v", decided)
	}
	w.none("session ended")
}

func TestShellOfAClientWithoutRules(t *testing.T) {
	w := serve(t, "/bin/true", edit(func(c *registry.Client) { c.Rules = nil }))
	channel, requests := open(t, w.client())
	if !ask(t, channel, "shell", nil) {
		t.Fatal("refused")
	}
	if out, _ := io.ReadAll(channel); !strings.Contains(string(out), "You may do nothing here") {
		t.Errorf("%q", out)
	}
	if got := status(t, requests); got != 1 {
		t.Errorf("status %d", got)
	}
}

// A3: the exec's own length says what it does not hold, or it holds more.
func TestMalformedExec(t *testing.T) {
	w := serve(t, script(t, `echo ran`))
	for name, payload := range map[string][]byte{
		"nothing":           nil,
		"half a length":     {0, 0},
		"length without":    {0, 0, 0, 99, 'x'},
		"length that wraps": append([]byte{0xff, 0xff, 0xff, 0xff}, w.push()...),
		"trailing byte":     append(text(w.push()), 0),
		"second string":     append(text(w.push()), text("id")...),
		"short by one":      text(w.push())[:len(w.push())+3],
	} {
		channel, requests := open(t, w.client())
		if ask(t, channel, "exec", payload) {
			t.Errorf("%s was accepted", name)
		}
		if out, _ := io.ReadAll(channel); len(out) > 0 {
			t.Errorf("%s: %q", name, out)
		}
		if got := status(t, requests); got != -1 {
			t.Errorf("%s: status %d", name, got)
		}
	}
	w.stop()
	w.none("session decided")
}

// A2, A4 to A17, A21: what is refused reaches no process, and leaves nothing.
func TestRefusedExec(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	w := serve(t, script(t, `echo > `+mark))
	before, err := os.ReadDir(w.data)
	if err != nil {
		t.Fatal(err)
	}
	client := w.client()
	for _, command := range []string{
		"", " ", "sh", "sh -i", "/bin/sh -c id", "rsync --server . 'a", w.push() + "; id", w.push() + " $(id)", "rsync --server -e/bin/sh . " + w.data,
		"sudo " + w.push(), "mkdir -p x && " + w.push(), "LD_PRELOAD=x " + w.push(), "scp -t " + w.data, "git-upload-pack x", "borg serve",
		"rsync\x00--server", w.push() + "\nid", "rsync --server --daemon .", "rsync --server -logDtpre.iLsfxCIvu . /etc", strings.Repeat("x", 70_000),
		"/tmp/rsync --server -logDtpre.iLsfxCIvu . " + w.data, "rsync --server -logDtpre.iLsfxCIvu --log-file=" + mark + " . " + w.data,
	} {
		out, complaints, status := w.run(client, command)
		if status != 126 && status != 127 || out != "" || !strings.HasPrefix(complaints, "postern: refused: ") || strings.Count(complaints, "\n") != 1 || !strings.HasSuffix(complaints, "\n") {
			t.Errorf("%.60q: status %d, %q, %q", command, status, out, complaints)
		}
	}
	w.stop()
	after, err := os.ReadDir(w.data)
	if err != nil || len(after) != len(before) {
		t.Errorf("the data folder has %v, %v", after, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a program ran")
	}
	w.none("session ended")
	for _, decided := range w.waitFor("session decided", 22) {
		if decided["verdict"] != "deny" || decided["code"] == nil || decided["why"] == nil {
			t.Errorf("recorded %v", decided)
		}
	}
}

// A refused exec cannot be tried again on its channel, nor an allowed one.
func TestOneExecForAChannel(t *testing.T) {
	for name, first := range map[string]func(w *world) (string, []byte){
		"refused":   func(*world) (string, []byte) { return "exec", text("id") },
		"allowed":   func(w *world) (string, []byte) { return "exec", text(w.push()) },
		"malformed": func(*world) (string, []byte) { return "exec", []byte{0} },
		"shell":     func(*world) (string, []byte) { return "shell", nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, script(t, `echo ran; cat`))
			channel, requests := open(t, w.client())
			kind, payload := first(w)
			if _, err := channel.SendRequest(kind, true, payload); err != nil {
				t.Fatal(err)
			}
			for _, again := range []string{"exec", "shell", "subsystem"} {
				// Where the channel is closed by now there is no answer.
				if ok, _ := channel.SendRequest(again, true, text(w.push())); ok {
					t.Errorf("a %s after it was accepted", again)
				}
			}
			channel.CloseWrite()
			out, _ := io.ReadAll(channel)
			if n := bytes.Count(out, []byte("ran")); n > 1 || name == "refused" && n > 0 {
				t.Errorf("%q", out)
			}
			status(t, requests)
			w.stop()
			if decided, _ := w.trail.find("session decided"); len(decided) > 1 {
				t.Errorf("recorded %v", decided)
			}
		})
	}
}

// H13: other channels, among them what `ssh -W` and `ssh -L` ask for.
func TestOtherChannelsAreRefused(t *testing.T) {
	w := serve(t, "/bin/true")
	client := w.client()
	for _, kind := range []string{"direct-tcpip", "direct-streamlocal@openssh.com", "forwarded-tcpip", "tun@openssh.com", "x11", "auth-agent@openssh.com", "", "session ", strings.Repeat("x", 1000)} {
		_, _, err := client.OpenChannel(kind, []byte("payload"))
		var refused *ssh.OpenChannelError
		if !asError(err, &refused) || refused.Reason != ssh.Prohibited || !strings.HasPrefix(refused.Message, "postern: refused: ") {
			t.Errorf("%.20q: %v", kind, err)
		}
	}
	if out := shell(t, client); out == "" {
		t.Error("the connection serves no more")
	}
	client.Close()
	if refused := w.wait("requests refused"); !strings.Contains(fmt.Sprint(refused["kinds"]), "channel direct-tcpip") {
		t.Errorf("recorded %v", refused)
	}
}

// H14: requests that concern the connection.
func TestGlobalRequestsAreRefused(t *testing.T) {
	w := serve(t, "/bin/true")
	client := w.client()
	for _, kind := range []string{"tcpip-forward", "cancel-tcpip-forward", "streamlocal-forward@openssh.com", "hostkeys-prove-00@openssh.com", "keepalive@openssh.com", "no-more-sessions@openssh.com", ""} {
		if ok, payload, err := client.SendRequest(kind, true, []byte("x")); ok || len(payload) > 0 || err != nil {
			t.Errorf("%q: %v, %q, %v", kind, ok, payload, err)
		}
	}
	client.Close()
	if refused := w.wait("requests refused"); fmt.Sprint(refused["kinds"]) != "[ cancel-tcpip-forward hostkeys-prove-00@openssh.com streamlocal-forward@openssh.com tcpip-forward]" {
		t.Errorf("recorded %v", refused)
	}
}

// F11, H20: whoever goes on asking for what is refused is cut off.
func TestBudgets(t *testing.T) {
	for name, flood := range map[string]func(*ssh.Client, int) error{
		"variables on a channel": func(c *ssh.Client, n int) error {
			channel, requests, err := c.OpenChannel("session", nil)
			if err != nil {
				return err
			}
			go ssh.DiscardRequests(requests)
			for range n {
				if _, err := channel.SendRequest("env", false, pair("A", strings.Repeat("x", 10_000))); err != nil {
					return err
				}
			}
			_, err = channel.SendRequest("env", true, nil)
			return err
		},
		"requests on the connection": func(c *ssh.Client, n int) error {
			for range n {
				if _, _, err := c.SendRequest("tcpip-forward", true, nil); err != nil {
					return err
				}
			}
			return nil
		},
		"forwardings": func(c *ssh.Client, n int) error {
			for range n {
				if _, _, err := c.OpenChannel("direct-tcpip", nil); err != nil && !isRefusal(err) {
					return err
				}
			}
			return nil
		},
		"channels for nothing": func(c *ssh.Client, n int) error {
			for range n {
				channel, requests, err := c.OpenChannel("session", nil)
				if err != nil {
					return err
				}
				channel.Close()
				for range requests {
				}
			}
			return nil
		},
		"refused commands": func(c *ssh.Client, n int) error {
			for range n {
				s, err := c.NewSession()
				if err != nil {
					return err
				}
				if err := s.Run("id"); err != nil && !isExit(err) {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, "/bin/true")
			if err := flood(w.client(), 60); err != nil {
				t.Errorf("cut off after 60: %v", err)
			}
			if err := flood(w.client(), 1000); err == nil {
				t.Error("not cut off after 1000")
			}
			if ended := w.waitFor("connection ended", 1)[0]; ended["why"] != "too many requests that are refused" {
				t.Errorf("recorded %v", ended)
			}
			// Others are served.
			if out := shell(t, w.client()); out == "" {
				t.Error("the gateway serves no more")
			}
		})
	}
}

func isRefusal(err error) bool {
	var refused *ssh.OpenChannelError
	return asError(err, &refused)
}

func isExit(err error) bool {
	var exit *ssh.ExitError
	return asError(err, &exit)
}

// H20: sessions at once on one connection.
func TestSessionsAtOnce(t *testing.T) {
	w := serve(t, script(t, `cat`), func(w *world, _ *clients) { w.config.SessionsPerConnection = 3 })
	client := w.client()
	var last ssh.Channel
	var requests <-chan *ssh.Request
	for range 3 {
		last, requests = open(t, client)
		if !ask(t, last, "exec", text(w.push())) {
			t.Fatal("refused")
		}
	}
	_, _, err := client.OpenChannel("session", nil)
	var refused *ssh.OpenChannelError
	if !asError(err, &refused) || refused.Reason != ssh.ResourceShortage || !strings.Contains(refused.Message, "3 sessions") {
		t.Errorf("a fourth: %v", err)
	}
	// One ends, and there is room again; so is there on another connection.
	last.CloseWrite()
	if got := status(t, requests); got != 0 {
		t.Errorf("status %d", got)
	}
	w.wait("session ended")
	last.Close()
	if out, _, status := w.run(w.client(), w.push()); status != 0 {
		t.Errorf("another connection: %d %q", status, out)
	}
	s := newSession(t, client)
	s.Stdin = strings.NewReader("x")
	if out, err := s.Output(w.push()); err != nil || string(out) != "x" {
		t.Errorf("%q, %v", out, err)
	}
}

// One after the other there may be any number, even where there is one place.
func TestSessionsInARow(t *testing.T) {
	w := serve(t, script(t, `cat`), func(w *world, _ *clients) { w.config.SessionsPerConnection = 1 })
	client := w.client()
	for i := range 200 {
		channel, requests, err := client.OpenChannel("session", nil)
		if err != nil {
			t.Fatalf("the %d. session: %v", i, err)
		}
		ask(t, channel, "shell", nil)
		status(t, requests)
	}
}

// A session whose client never asks for anything ends with its connection.
func TestChannelWithoutARequest(t *testing.T) {
	w := serve(t, "/bin/true")
	client := w.client()
	open(t, client)
	client.Close()
	if ended := w.wait("connection ended"); ended["sessions"] != 1. {
		t.Errorf("recorded %v", ended)
	}
	w.none("session decided")
}

// A client that was changed or removed since it signed in has no more than it
// would have now.
func TestEachSessionAsksAgain(t *testing.T) {
	w := serve(t, script(t, `echo ran`))
	client := w.client()
	if out, _, status := w.run(client, w.push()); out != "ran\n" || status != 0 {
		t.Fatalf("%q, %d", out, status)
	}
	laptop := registry.Client{Name: "laptop", Keys: []registry.Key{{Public: w.key.PublicKey()}}}
	for name, change := range map[string]func(c *registry.Client){
		"disabled":     func(c *registry.Client) { c.Disabled = true },
		"without rule": func(c *registry.Client) { c.Rules = nil },
		"removed":      func(c *registry.Client) { c.Keys = nil },
		"read-only": func(c *registry.Client) {
			c.Rules = []policy.Rule{{Tool: policy.Rsync, Path: w.data, Access: policy.ReadOnly, RunAs: runAsMe()}}
		},
	} {
		now := laptop
		now.Rules = []policy.Rule{{Tool: policy.Rsync, Path: w.data, Access: policy.ReadWrite, RunAs: runAsMe()}}
		change(&now)
		w.config.Clients.Swap(set(t, now))
		if out, complaints, status := w.run(client, w.push()); out != "" || status != 126 || !strings.HasPrefix(complaints, "postern: refused: ") {
			t.Errorf("%s: %q, %q, %d", name, out, complaints, status)
		}
	}
}
