package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway"
	"postern/policy"
	"postern/registry"
)

// running is a session whose child waits for the end of its input.
type running struct {
	*ssh.Session
	client     *ssh.Client
	stdin      io.WriteCloser
	complaints bytes.Buffer
}

func (w *world) running(key ssh.Signer) *running {
	w.t.Helper()
	client, _, err := w.dial("backup", key)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &running{Session: newSession(w.t, client), client: client}
	r.Stderr = &r.complaints
	if r.stdin, err = r.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	out, err := r.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := r.Start(w.push()); err != nil {
		w.t.Fatal(err)
	}
	if line := readLine(w.t, out); line != "started\n" {
		w.t.Fatalf("the child said %q", line)
	}
	return r
}

// ends waits for the end of a session, and returns how long it took.
func (r *running) ends(t *testing.T) (status int, took time.Duration) {
	t.Helper()
	begun := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- r.Wait() }()
	select {
	case err := <-ended:
		return exitStatus(t, err), time.Since(begun)
	case <-time.After(patience):
		t.Fatal("the session goes on")
		return 0, 0
	}
}

// finishes ends the input of a session that must have gone on until then.
func (r *running) finishes(t *testing.T) {
	t.Helper()
	r.stdin.Close()
	if status, _ := r.ends(t); status != 7 || r.complaints.Len() > 0 {
		t.Errorf("status %d, %q", status, &r.complaints)
	}
}

// waits says that it runs, and ends with its input.
const waits = `echo started; cat > /dev/null; exit 7`

func (w *world) laptop() registry.Client {
	return registry.Client{Name: "laptop", Keys: []registry.Key{{Public: w.key.PublicKey()}}, Rules: []policy.Rule{w.rule()}}
}

func (w *world) rule() policy.Rule {
	return policy.Rule{Tool: policy.Rsync, Path: w.data, Access: policy.ReadWrite, Delete: true, Overwrite: true, RunAs: runAsMe(), Where: "laptop.yaml:3"}
}

// A client that loses what it has loses it at once, with a line that says why; the
// sessions of another go on to their ends.
func TestRevocation(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, c *registry.Client)
		why    string
		// stays says that the connection does.
		stays bool
	}{
		"disabled":        {func(_ *world, c *registry.Client) { c.Disabled = true }, `client "laptop" is disabled`, false},
		"removed":         {func(_ *world, c *registry.Client) { c.Keys = nil }, "no client has this key", false},
		"expired":         {func(_ *world, c *registry.Client) { c.Expires = time.Now() }, `client "laptop" expired at `, false},
		"another address": {func(_ *world, c *registry.Client) { c.From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, `may not come from 127.0.0.1`, false},
		"another login":   {func(_ *world, c *registry.Client) { c.Login = "other" }, `does not belong to the login name "backup"`, false},
		"renamed":         {func(_ *world, c *registry.Client) { c.Name = "notebook" }, `the key is of client "notebook" now`, false},
		"no rule":         {func(_ *world, c *registry.Client) { c.Rules = nil }, "this key may not use rsync", true},
		"read-only":       {func(_ *world, c *registry.Client) { c.Rules[0].Access = policy.ReadOnly }, "writing is not allowed in ", true},
		"no overwriting":  {func(_ *world, c *registry.Client) { c.Rules[0].Overwrite = false }, "overwrite: false", true},
		"fewer files":     {func(_ *world, c *registry.Client) { c.Limits.Files = policy.LimitOf(64) }, "limits.files is lower now", true},
	} {
		t.Run(name, func(t *testing.T) {
			other := newKey(t)
			w := serve(t, script(t, waits), func(w *world, all *clients) {
				*all = append(*all, w.another(other))
			})
			concerned, bystander := w.running(w.key), w.running(other)
			now := w.laptop()
			c.change(w, &now)
			w.replace(now, w.another(other))
			status, took := concerned.ends(t)
			if took > time.Second || status == 0 {
				t.Errorf("it ended after %s with status %d", took, status)
			}
			if said := concerned.complaints.String(); !strings.HasPrefix(said, "postern: ended: no longer allowed: ") || !strings.Contains(said, c.why) {
				t.Errorf("the client reads %q", said)
			}
			if ended := w.wait("session ended"); ended["client"] != "laptop" || !strings.Contains(fmt.Sprint(ended["why"]), c.why) {
				t.Errorf("recorded %v", ended)
			}
			if !c.stays {
				if ended := w.wait("connection ended"); ended["client"] != "laptop" || !strings.Contains(fmt.Sprint(ended["why"]), c.why) {
					t.Errorf("recorded %v", ended)
				}
			} else if _, err := concerned.client.NewSession(); err != nil {
				t.Errorf("the connection does not go on: %v", err)
			}
			bystander.finishes(t)
		})
	}
}

func (w *world) another(key ssh.Signer) registry.Client {
	return registry.Client{Name: "another", Keys: []registry.Key{{Public: key.PublicKey()}}, Rules: []policy.Rule{w.rule()}}
}

func (w *world) replace(clients ...registry.Client) {
	w.t.Helper()
	w.server.Replace(set(w.t, clients...), gateway.Trust{})
}

// A child that does not end by itself, and a client that does not read, hold up
// nothing.
func TestRevocationOfTheStubborn(t *testing.T) {
	w := serve(t, script(t, stubborn), func(w *world, _ *clients) { w.config.KillGrace = patience })
	s := newSession(t, w.client())
	child, grandchild := startStubborn(t, w, s)
	begun := time.Now()
	w.replace()
	ended := w.wait("session ended")
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	if ended["signal"] != "killed" || !strings.Contains(fmt.Sprint(ended["why"]), "no client has this key") {
		t.Errorf("recorded %v", ended)
	}
	waitGone(t, child)
	waitGone(t, grandchild)
}

// A connection that runs nothing is not left open either.
func TestRevocationOfTheIdle(t *testing.T) {
	w := serve(t, script(t, waits))
	client := w.client()
	w.replace()
	if err := client.Wait(); err == nil {
		t.Error("the client left by itself")
	}
	if ended := w.wait("connection ended"); !strings.Contains(fmt.Sprint(ended["why"]), "no client has this key") {
		t.Errorf("recorded %v", ended)
	}
}

// What grew, moved within its file, or is no concern of the session touches nothing.
func TestGrowthTouchesNothing(t *testing.T) {
	w := serve(t, script(t, waits), func(w *world, all *clients) {
		(*all)[0].Rules[0].Overwrite, (*all)[0].Rules[0].Delete = false, false
		(*all)[0].Limits.Files = policy.LimitOf(64)
	})
	s := w.running(w.key)
	for _, grow := range []func(c *registry.Client){
		func(c *registry.Client) {
			c.Rules[0].Overwrite = false
			c.Limits.Files = policy.LimitOf(64)
			c.Rules[0].Where = "laptop.yaml:9"
		},
		func(c *registry.Client) { c.Rules[0].Overwrite = false; c.Rules[0].Delete = false },
		func(*registry.Client) {},
		func(c *registry.Client) {
			c.Rules = append(c.Rules, policy.Rule{Tool: policy.Borg, Path: "/srv/borg", Access: policy.ReadWrite})
		},
		func(c *registry.Client) {
			before := w.rule()
			before.Path = "/srv/before"
			c.Rules = append([]policy.Rule{before}, c.Rules...)
		},
		func(c *registry.Client) {
			c.From, c.Expires = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, time.Now().Add(time.Hour)
		},
	} {
		now := w.laptop()
		grow(&now)
		w.replace(now)
	}
	s.finishes(t)
	w.stop()
	if ended := w.wait("session ended"); ended["why"] != "the program ended" {
		t.Errorf("recorded %v", ended)
	}
}

// Nobody need change a file for a client's time to be over.
func TestTimeIsOver(t *testing.T) {
	var late atomic.Bool
	begun := time.Now()
	w := serve(t, script(t, waits), func(w *world, all *clients) {
		(*all)[0].Expires = begun.Add(time.Hour)
		w.config.Now = func() time.Time {
			if late.Load() {
				return begun.Add(time.Hour)
			}
			return begun
		}
	})
	s := w.running(w.key)
	late.Store(true)
	if status, took := s.ends(t); status == 0 || took > 2*time.Second || !strings.Contains(s.complaints.String(), "expired at ") {
		t.Errorf("status %d after %s, %q", status, took, &s.complaints)
	}
}
