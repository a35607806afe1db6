package gateway_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway"
)

// long is a limit that no test reaches.
const long = 90 * time.Minute

// heldSession is a session whose child waits at a gate, and has said so.
type heldSession struct {
	*ssh.Session
	w         *world
	client    *ssh.Client
	gate      gate
	complains *bytes.Buffer
}

// held serves a gateway whose child says a word on standard error, then waits at
// the gate, and ends.
func held(t *testing.T, before, after string) *heldSession {
	t.Helper()
	g := newGate(t)
	w := serve(t, script(t, before+`; echo started; read x < `+g.path+`; `+after))
	one := &heldSession{w: w, client: w.client(), gate: g, complains: new(bytes.Buffer)}
	one.Session = newSession(t, one.client)
	one.Stderr = one.complains
	out, err := one.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	readLine(t, out)
	return one
}

// ends waits for the gateway to end by itself.
func (w *world) ends() {
	w.t.Helper()
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Errorf("Serve: %v", err)
		}
		close(w.ended)
	case <-time.After(patience):
		w.t.Fatal("Serve does not end")
	}
}

func TestRetireLetsSessionsFinish(t *testing.T) {
	one := held(t, `echo begun >&2`, `exit 3`)
	idle := one.w.client()
	if all := one.w.server.Sessions(); len(all) != 1 {
		t.Errorf("sessions: %v", all)
	}
	one.w.server.Retire(long)
	// A connection without a session ends, and nobody new comes.
	if err := idle.Wait(); err == nil {
		t.Error("a connection without a session ended by itself")
	}
	if _, _, err := one.w.dial("backup", one.w.key); err == nil {
		t.Error("somebody came in")
	}
	if until, is := one.w.server.Retiring(); !is || time.Until(until) > long {
		t.Errorf("retiring %v until %v", is, until)
	}
	one.gate.open()
	if status := exitStatus(t, one.Wait()); status != 3 {
		t.Errorf("status %d", status)
	}
	if got, want := one.complains.String(), "begun\npostern: the gateway stops; this session may go on for 1h30m0s\n"; got != want {
		t.Errorf("the client read %q, want %q", got, want)
	}
	// Its client need not leave.
	if err := one.client.Wait(); err == nil {
		t.Error("the connection ended by itself")
	}
	one.w.ends()
	if ended := one.w.wait("session ended"); ended["why"] != "the program ended" || ended["status"] != 3. || ended["err"] != 6. {
		t.Errorf("recorded %v", ended)
	}
	for _, ended := range one.w.waitFor("connection ended", 2) {
		if ended["why"] != "the gateway stops" {
			t.Errorf("recorded %v", ended)
		}
	}
}

// What the gateway says stands on a line of its own.
func TestRetireWhileALineIsUnfinished(t *testing.T) {
	one := held(t, `printf '{"a": ' >&2`, `printf '1}\n' >&2; exit 0`)
	one.w.server.Retire(long)
	one.gate.open()
	if status := exitStatus(t, one.Wait()); status != 0 {
		t.Errorf("status %d", status)
	}
	got := one.complains.String()
	if line, rest, _ := strings.Cut(got, "\n"); line != `{"a": 1}` || rest != "" && !strings.HasPrefix(rest, "postern: ") {
		t.Errorf("the client read %q", got)
	}
	one.w.ends()
}

// A session that is asked for on a connection with another one is refused, and
// nothing happens.
func TestRetireRefusesNewSessions(t *testing.T) {
	one := held(t, `touch started.$$`, `exit 0`)
	before, err := filepath.Glob(filepath.Join(one.w.data, "*"))
	if err != nil || len(before) != 1 {
		t.Fatal(before, err)
	}
	one.w.server.Retire(long)
	for range 2 {
		out, complaints, status := one.w.run(one.client, one.w.push())
		if want := "postern: refused: the gateway stops; try again later, on a new connection\n"; status != 126 || out != "" || complaints != want {
			t.Errorf("%q, %q, status %d", out, complaints, status)
		}
	}
	if entries, err := os.ReadDir(one.w.data); err != nil || len(entries) != len(before) {
		t.Errorf("%v, %v", entries, err)
	}
	if until, is := one.w.server.Retiring(); !is || until.Before(time.Now()) {
		t.Errorf("retiring %v until %v", is, until)
	}
	one.gate.open()
	if status := exitStatus(t, one.Wait()); status != 0 || strings.Contains(one.complains.String(), "postern: ended") {
		t.Errorf("status %d, %q", status, one.complains)
	}
	one.w.ends()
	for _, decided := range one.w.waitFor("session decided", 3)[1:] {
		if decided["verdict"] != "deny" || decided["code"] != "gateway-stops" || decided["request"] != one.w.push() {
			t.Errorf("recorded %v", decided)
		}
	}
}

// The soonest of several limits counts; a session that lasts longer is told why it
// ends, and nothing of it stays.
func TestRetireLimit(t *testing.T) {
	for name, hurry := range map[string]func(s *gateway.Server){
		"limit":            func(s *gateway.Server) { s.Retire(time.Millisecond) },
		"no time":          func(s *gateway.Server) { s.Retire(0) },
		"hurry":            (*gateway.Server).Hurry,
		"the soonest of 3": func(s *gateway.Server) { s.Retire(long); s.Retire(time.Millisecond); s.Retire(2 * long) },
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, script(t, stubborn))
			client := w.client()
			s := newSession(t, client)
			complaints := new(bytes.Buffer)
			s.Stderr = complaints
			child, grandchild := startStubborn(t, w, s)
			w.server.Retire(long)
			hurry(w.server)
			w.ends()
			if ended := w.wait("session ended"); ended["why"] != "the gateway stops" || ended["signal"] != "killed" {
				t.Errorf("recorded %v", ended)
			}
			if status := exitStatus(t, s.Wait()); status != 137 {
				t.Errorf("status %d", status)
			}
			if got := complaints.String(); !strings.HasSuffix(got, "postern: ended: the gateway stops; try again later\n") {
				t.Errorf("the client read %q", got)
			}
			waitGone(t, child)
			waitGone(t, grandchild)
		})
	}
}

// A session that ends as if it had succeeded, because its input was cut off, has
// not.
func TestHurriedSessionDoesNotSucceed(t *testing.T) {
	w := serve(t, script(t, `echo started; cat > /dev/null; exit 0`), func(w *world, _ *clients) { w.config.KillGrace = patience })
	s := w.session()
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	readLine(t, out)
	w.server.Hurry()
	w.ends()
	if status := exitStatus(t, s.Wait()); status != 126 {
		t.Errorf("status %d", status)
	}
	if ended := w.wait("session ended"); fmt.Sprint(ended["status"]) != "126" {
		t.Errorf("recorded %v", ended)
	}
}

// A peer that is still on its way in does not keep the gateway.
func TestRetireWithAPeerAtTheDoor(t *testing.T) {
	w := serve(t, script(t, `exit 0`))
	conn := dialRaw(w)
	if greeting := readLine(t, conn); !strings.HasPrefix(greeting, "SSH-2.0-") {
		t.Fatalf("it says %q", greeting)
	}
	w.server.Retire(long)
	w.ends()
	if refused := w.wait("connection refused"); refused["why"] != "the gateway stops" {
		t.Errorf("recorded %v", refused)
	}
}
