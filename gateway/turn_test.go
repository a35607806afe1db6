package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"postern/gateway"
	"postern/policy"
	"postern/registry"
)

// alone makes the first rule of a client one of a single writer.
func alone(c *registry.Client) { c.Rules[0].OneWriter = true }

// asker is a session that has asked for something, and what it is told.
type asker struct {
	*ssh.Session
	client    *ssh.Client
	stdin     io.WriteCloser
	out, told *bufio.Reader
}

func (w *world) asks(key ssh.Signer, command string) *asker {
	w.t.Helper()
	client, _, err := w.dial("backup", key)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &asker{Session: newSession(w.t, client), client: client}
	out, err := a.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	told, err := a.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if a.stdin, err = a.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	a.out, a.told = bufio.NewReader(out), bufio.NewReader(told)
	if err := a.Start(command); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// reads reads a line that must contain some text.
func (a *asker) reads(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	line, err := from.ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		t.Fatalf("read %q, %v, want %q", line, err, want)
	}
}

// runs runs the child to its end.
func (a *asker) runs(t *testing.T) {
	t.Helper()
	a.reads(t, a.out, "started")
	a.stdin.Close()
	if status := exitStatus(t, a.Wait()); status != 7 {
		t.Errorf("status %d", status)
	}
}

// nested is a client whose rule is for a folder in that of the laptop.
func (w *world) nested(key ssh.Signer) registry.Client {
	c := w.another(key)
	c.Rules[0].Path = filepath.Join(w.data, "nested")
	return c
}

// shared is a gateway whose laptop writes alone, and another client below it.
func shared(t *testing.T, change ...func(*world, *clients)) (w *world, other ssh.Signer, below string) {
	t.Helper()
	other = newKey(t)
	w = serve(t, script(t, waits), append(change, func(w *world, all *clients) {
		alone(&(*all)[0])
		if err := os.Mkdir(filepath.Join(w.data, "nested"), 0o700); err != nil {
			t.Fatal(err)
		}
		*all = append(*all, w.nested(other))
	})...)
	return w, other, "rsync --server -logDtpre.iLsfxCIvu . " + w.data + "/nested/"
}

// Who may have to wait does, is told so, and begins when the other has ended, whoever
// of the two asked for it.
func TestOneWriterAtATime(t *testing.T) {
	w, other, below := shared(t)
	for name, c := range map[string]struct {
		first, second   ssh.Signer
		runs, waits, at string
	}{
		"above": {other, w.key, below, w.push(), w.data},
		"below": {w.key, other, w.push(), below, w.data + "/nested"},
		"same":  {w.key, w.key, w.push(), w.push(), w.data},
	} {
		t.Run(name, func(t *testing.T) {
			first := w.asks(c.first, c.runs)
			first.reads(t, first.out, "started")
			second := w.asks(c.second, c.waits)
			second.reads(t, second.told, "postern: waiting for another session that writes in "+c.at+", for up to 10m\n")
			if s := w.server.Sessions(); len(s) != 2 || s[1].State != gateway.SessionWaiting {
				t.Errorf("sessions %+v", s)
			}
			first.stdin.Close()
			if status := exitStatus(t, first.Wait()); status != 7 {
				t.Errorf("the first: status %d", status)
			}
			second.runs(t)
		})
	}
}

// What changes nothing waits for nobody, and nobody for it.
func TestReadersDoNotWait(t *testing.T) {
	w, other, below := shared(t)
	reads := []string{strings.Replace(w.push(), "--server", "--server --sender", 1), strings.Replace(w.push(), " -l", " -nl", 1)}
	for _, command := range reads {
		reader := w.asks(w.key, command)
		reader.reads(t, reader.out, "started")
		w.asks(other, below).runs(t)
		writer := w.asks(w.key, w.push())
		writer.reads(t, writer.out, "started")
		w.asks(w.key, command).runs(t)
		for _, a := range []*asker{reader, writer} {
			a.stdin.Close()
			if status := exitStatus(t, a.Wait()); status != 7 {
				t.Errorf("status %d", status)
			}
		}
	}
}

// A wait that is over is a refusal that says what to do, and not who the other is.
func TestWaitIsOver(t *testing.T) {
	w, other, below := shared(t, func(_ *world, all *clients) { (*all)[0].Rules[0].Wait = policy.LimitOf(0) })
	first := w.asks(other, below)
	first.reads(t, first.out, "started")
	_, said, status := w.run(w.client(), w.push())
	if status != policy.ExitRefused || !strings.HasPrefix(said, "postern: refused: another session, of yours or of another client, writes in "+w.data+
		", and this one waits for 0s at most (one_writer, wait: 0s); try again when that has ended") || strings.Contains(said, "another\"") {
		t.Errorf("status %d, %q", status, said)
	}
	id := w.server.Sessions()[0].ID
	if d := w.waitFor("session decided", 2)[1]; d["verdict"] != "deny" || d["code"] != "busy" || !strings.Contains(fmt.Sprint(d["detail"]), id) {
		t.Errorf("recorded %v", d)
	}
	first.stdin.Close()
	if status := exitStatus(t, first.Wait()); status != 7 {
		t.Errorf("status %d", status)
	}
}

// A session that must end while it waits does so at once, and starts nothing.
func TestEndOfAWait(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w *world, waiting *asker, other ssh.Signer)
		code string
		// told is what the client reads, if it is still there.
		told string
	}{
		"the client leaves": {func(_ *world, a *asker, _ ssh.Signer) { a.Close() }, "gone", ""},
		"the line is cut":   {func(_ *world, a *asker, _ ssh.Signer) { a.client.Close() }, "gone", ""},
		"the rule is gone": {func(w *world, _ *asker, other ssh.Signer) {
			now := w.laptop()
			now.Rules = nil
			w.replace(now, w.nested(other))
		}, "revoked", "postern: refused: no longer allowed: "},
		"it is killed": {func(w *world, _ *asker, _ ssh.Signer) {
			w.server.Kill(w.t.Context(), func(s gateway.Session) bool { return s.Client == "laptop" })
		}, "revoked", "postern: refused: by the operator"},
		"the gateway retires": {func(w *world, _ *asker, _ ssh.Signer) { w.server.Retire(long) }, "gateway-stops", "postern: refused: the gateway stops"},
		"the gateway hurries": {func(w *world, _ *asker, _ ssh.Signer) { w.server.Hurry() }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, other, below := shared(t)
			first := w.asks(other, below)
			first.reads(t, first.out, "started")
			second := w.asks(w.key, w.push())
			second.reads(t, second.told, "postern: waiting for")
			c.end(w, second, other)
			if c.told != "" {
				second.reads(t, second.told, c.told)
			}
			if d := w.waitFor("session decided", 2)[1]; d["verdict"] != "deny" || c.code != "" && d["code"] != c.code {
				t.Errorf("recorded %v", d)
			}
			first.stdin.Close()
			_ = first.Wait()
			w.stop()
			if ended, _ := w.trail.find("session ended"); len(ended) != 1 {
				t.Errorf("ended: %v", ended)
			}
		})
	}
}

// Two gateways, one of which takes over from the other, know of each other by the
// locks on the folders.
func TestOneWriterOfTwoGateways(t *testing.T) {
	old := serve(t, script(t, waits), func(_ *world, all *clients) { alone(&(*all)[0]) })
	other := newKey(t)
	young := serve(t, script(t, waits), func(w *world, all *clients) {
		w.data = old.data
		(*all)[0] = w.laptop()
		alone(&(*all)[0])
		*all = append(*all, w.another(other))
	})
	first := old.asks(old.key, old.push())
	first.reads(t, first.out, "started")
	second := young.asks(other, young.push())
	second.reads(t, second.told, "postern: waiting for another session that writes in "+old.data)
	first.stdin.Close()
	_ = first.Wait()
	second.runs(t)
}
