package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway/door"
	"postern/policy"
	"postern/registry"
)

// bounded has the laptop served within bounds.
func bounded(b registry.Bounds) func(*world, *clients) {
	return func(_ *world, all *clients) { (*all)[0].Bounds = b }
}

// boundedBy is the laptop with other bounds.
func (w *world) boundedBy(b registry.Bounds) registry.Client {
	c := w.laptop()
	c.Bounds = b
	return c
}

// Sessions are counted over all connections of a client, and an ended one makes room
// for the next before its client knows of the end.
func TestSessionsOfAClient(t *testing.T) {
	other := newKey(t)
	w := serve(t, script(t, waits), bounded(registry.Bounds{Sessions: policy.LimitOf(1)}), func(w *world, all *clients) {
		*all = append(*all, w.another(other))
	})
	first, bystander := w.running(w.key), w.running(other)
	_, said, status := w.run(w.client(), w.push())
	const why = `client "laptop" runs 1 session already, which is its limit (limits.sessions: 1)`
	if status != policy.ExitRefused || said != "postern: refused: "+why+"; try again when one has ended\n" {
		t.Errorf("status %d, %q", status, said)
	}
	if decided := w.waitFor("session decided", 3)[2]; decided["verdict"] != "deny" || decided["code"] != "limit-sessions" || decided["why"] != why {
		t.Errorf("recorded %v", decided)
	}
	// To be told what one may do is no session of that kind.
	shell := newSession(t, first.client)
	if err := shell.Shell(); err != nil {
		t.Fatal(err)
	}
	if status := exitStatus(t, shell.Wait()); status != 0 {
		t.Errorf("what may I do: status %d", status)
	}
	first.finishes(t)
	for range 10 {
		if _, said, status := w.run(first.client, w.push()); status != 7 {
			t.Fatalf("one after the other: status %d, %q", status, said)
		}
	}
	bystander.finishes(t)
}

// A limit that is lowered ends nothing that runs.
func TestSessionsAreLowered(t *testing.T) {
	w := serve(t, script(t, waits))
	first, second := w.running(w.key), w.running(w.key)
	w.replace(w.boundedBy(registry.Bounds{Sessions: policy.LimitOf(1), Connections: policy.LimitOf(1)}))
	if _, said, status := w.run(first.client, w.push()); status != policy.ExitRefused || !strings.Contains(said, "runs 2 sessions already, which is above its limit (limits.sessions: 1)") {
		t.Errorf("status %d, %q", status, said)
	}
	first.finishes(t)
	second.finishes(t)
}

// A connection too many is told why, and costs its source nothing.
func TestConnectionsOfAClient(t *testing.T) {
	w := serve(t, script(t, waits), bounded(registry.Bounds{Connections: policy.LimitOf(1)}),
		strict(door.Config{Penalties: door.Penalties{AuthFail: time.Hour, NoAuth: time.Hour, RefuseConnection: time.Hour, Min: time.Second}}))
	s := w.running(w.key)
	const why = `client "laptop" has 1 connection already, which is its limit (limits.connections: 1)`
	_, banner, err := w.dial("backup", w.key)
	if err == nil || banner != "postern: refused: "+why+"; try again when one has ended\n" {
		t.Errorf("%v, %q", err, banner)
	}
	if refused := w.wait("key refused"); refused["code"] != "limit-connections" || refused["proved"] != true || refused["why"] != why {
		t.Errorf("recorded %v", refused)
	}
	w.wait("connection refused")
	s.finishes(t)
	for range 5 {
		s.client.Close()
		client, _, err := w.dial("backup", w.key)
		if err != nil {
			t.Fatalf("after the first left: %v", err)
		}
		s.client = client
	}
}

// A connection that could not be let in for want of records was counted once for each
// of its keys.
func TestConnectionIsCountedOnce(t *testing.T) {
	second := newKey(t)
	w := serve(t, "/bin/true", func(_ *world, all *clients) {
		(*all)[0].Keys = append((*all)[0].Keys, registry.Key{Public: second.PublicKey()})
		(*all)[0].Bounds.Connections = policy.LimitOf(1)
	})
	w.trail.fail("connection accepted")
	config := &ssh.ClientConfig{
		User: "backup", HostKeyCallback: ssh.FixedHostKey(w.host), Auth: []ssh.AuthMethod{ssh.PublicKeys(w.key, second)}, Timeout: patience,
	}
	if _, err := ssh.Dial("tcp", w.addr, config); err == nil {
		t.Fatal("let in without a record")
	}
	w.trail.fail("")
	if _, banner, err := w.dial("backup", w.key); err != nil {
		t.Errorf("%v, %q", err, banner)
	}
}

// day is a span of all days.
func day(from, to int, text string) registry.Span {
	return registry.Span{Days: [7]bool{true, true, true, true, true, true, true}, From: from, To: to, Text: text}
}

// night are hours by the clock of tests.
func night() registry.Hours { return registry.HoursOf(time.UTC, day(22*60, 6*60, "22:00-06:00")) }

// turnedClock is a clock that a test turns.
type turnedClock struct{ ahead atomic.Int64 }

func (c *turnedClock) turn(by time.Duration) { c.ahead.Add(int64(by)) }

// from has a gateway go by the clock, from an instant on.
func (c *turnedClock) from(start time.Time) func(*world, *clients) {
	return func(w *world, _ *clients) {
		w.config.Now = func() time.Time { return start.Add(time.Duration(c.ahead.Load())) }
	}
}

// Outside its hours a client signs in, and is told when to come again.
func TestOutsideTheHours(t *testing.T) {
	var clock turnedClock
	w := serve(t, script(t, waits), bounded(registry.Bounds{Hours: night()}), clock.from(time.Date(2026, 11, 21, 21, 59, 0, 0, time.UTC)))
	client := w.client()
	_, said, status := w.run(client, w.push())
	if status != policy.ExitRefused || said != "postern: refused: these are not the hours of client \"laptop\" (limits.hours: 22:00-06:00); try again from Sat 2026-11-21 22:00 UTC on\n" {
		t.Errorf("status %d, %q", status, said)
	}
	if decided := w.wait("session decided"); decided["code"] != "limit-hours" || decided["verdict"] != "deny" {
		t.Errorf("recorded %v", decided)
	}
	clock.turn(time.Minute)
	s := w.running(w.key)
	clock.turn(9 * time.Hour)
	if _, said, status := w.run(client, w.push()); status != policy.ExitRefused {
		t.Errorf("in the morning: status %d, %q", status, said)
	}
	s.finishes(t) // as after_hours: finish says
}

// What ends a session by the clock is told to its client, and named in its record.
func TestOvertime(t *testing.T) {
	for name, c := range map[string]struct {
		bounds registry.Bounds
		turn   time.Duration
		said   string
		code   string
	}{
		"after hours": {registry.Bounds{Hours: night(), EndAfterHours: true}, 8 * time.Hour,
			`these are not the hours of client "laptop" (limits.hours: 22:00-06:00); try again from Sun 2026-11-22 22:00 UTC on`, "limit-hours"},
		"session time": {registry.Bounds{SessionTime: 12 * time.Hour}, 12 * time.Hour,
			`the session has run for the time that one of client "laptop" may take (limits.session_time: 12h); start it again`, "limit-session-time"},
	} {
		start := time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)
		t.Run(name, func(t *testing.T) {
			var clock turnedClock
			w := serve(t, script(t, waits), bounded(c.bounds), clock.from(start))
			s := w.running(w.key)
			clock.turn(c.turn)
			if status, _ := s.ends(t); status == 0 || s.complaints.String() != "postern: ended: "+c.said+"\n" {
				t.Errorf("status %d, %q", status, &s.complaints)
			}
			if ended := w.wait("session ended"); ended["code"] != c.code || ended["why"] != c.said {
				t.Errorf("recorded %v", ended)
			}
		})
		// The same limit, laid on what runs already.
		t.Run(name+" by a change", func(t *testing.T) {
			var clock turnedClock
			w := serve(t, script(t, waits), clock.from(start))
			s := w.running(w.key)
			clock.turn(c.turn)
			w.replace(w.boundedBy(c.bounds))
			if status, took := s.ends(t); status == 0 || took > time.Second || s.complaints.String() != "postern: ended: "+c.said+"\n" {
				t.Errorf("status %d after %s, %q", status, took, &s.complaints)
			}
		})
	}
}

// slow is next to nothing: one write at this limit takes longer than any test waits.
func slow() policy.Limit { return policy.LimitOf(1) }

// Data comes through a limit whole, both ways, and what the child says about it.
func TestBandwidth(t *testing.T) {
	w := serve(t, script(t, `cat; echo complaint >&2; exit 7`), bounded(registry.Bounds{In: policy.LimitOf(1 << 20), Out: policy.LimitOf(2 << 20)}))
	data := bytes.Repeat([]byte("0123456789abcde\n"), 20_000)
	var outs [2]bytes.Buffer
	var sessions [2]*ssh.Session
	for i := range sessions {
		s := w.session()
		s.Stdin, s.Stdout = bytes.NewReader(data), &outs[i]
		if err := s.Start(w.push()); err != nil {
			t.Fatal(err)
		}
		sessions[i] = s
	}
	for i, s := range sessions {
		if status := exitStatus(t, s.Wait()); status != 7 || !bytes.Equal(outs[i].Bytes(), data) {
			t.Errorf("status %d, %d bytes of %d", status, outs[i].Len(), len(data))
		}
	}
	for _, ended := range w.waitFor("session ended", 2) {
		if ended["in"] != float64(len(data)) || ended["out"] != float64(len(data)) || ended["err"] != float64(len("complaint\n")) {
			t.Errorf("recorded %v", ended)
		}
	}
}

// The limit that holds is that of the moment, for what runs too.
func TestBandwidthIsRaised(t *testing.T) {
	w := serve(t, script(t, `cat > /dev/null; echo done`), bounded(registry.Bounds{In: policy.LimitOf(4 << 10)}))
	s := w.session()
	s.Stdin = bytes.NewReader(make([]byte, 8<<20))
	var out bytes.Buffer
	s.Stdout = &out
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	w.replace(w.boundedBy(registry.Bounds{In: policy.LimitOf(1 << 30)}))
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	select {
	case err := <-ended:
		if err != nil || out.String() != "done\n" {
			t.Errorf("%v, %q", err, &out)
		}
	case <-time.After(patience):
		t.Error("it goes on as slowly as before")
	}
}

// A session that its limit holds up ends as quickly as any.
func TestThrottledSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		bounds registry.Bounds
		lines  string
	}{
		"in":           {registry.Bounds{In: slow()}, `echo $$ >&2; exec cat > /dev/null`},
		"out":          {registry.Bounds{Out: slow()}, `echo $$ >&2; exec cat /dev/zero`},
		"out, to err":  {registry.Bounds{Out: slow()}, `echo $$ >&2; exec cat /dev/zero >&2`},
		"out, is gone": {registry.Bounds{Out: slow()}, `echo $$ >&2; exec head -c 60000 /dev/zero`},
		"out, ignores": {registry.Bounds{Out: slow()}, `trap '' TERM; echo $$ >&2; head -c 60000 /dev/zero; while :; do sleep 1; done`},
	} {
		for how, end := range map[string]func(w *world, client *ssh.Client, s *ssh.Session){
			"revoked": func(w *world, _ *ssh.Client, _ *ssh.Session) { w.replace() },
			"closed":  func(_ *world, _ *ssh.Client, s *ssh.Session) { s.Close() },
			"left":    func(_ *world, client *ssh.Client, _ *ssh.Session) { client.Close() },
			"stopped": func(w *world, _ *ssh.Client, _ *ssh.Session) { go w.stop() },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				w := serve(t, script(t, c.lines), bounded(c.bounds))
				client := w.client()
				s := newSession(t, client)
				stdin, _ := s.StdinPipe()
				complaints, _ := s.StderrPipe()
				out, _ := s.StdoutPipe()
				if err := s.Start(w.push()); err != nil {
					t.Fatal(err)
				}
				pid, err := strconv.Atoi(strings.TrimSpace(readLine(t, complaints)))
				if err != nil {
					t.Fatal(err)
				}
				if name == "out, is gone" {
					waitGone(t, pid)
				}
				go io.Copy(stdin, zeros{})
				go io.Copy(io.Discard, out)
				go io.Copy(io.Discard, complaints)
				end(w, client, s)
				w.wait("session ended")
			})
		}
	}
}

// How long a peer may be silent is its client's limit, at any moment.
func TestIdle(t *testing.T) {
	other := newKey(t)
	w := serve(t, script(t, waits), bounded(registry.Bounds{Idle: time.Hour}), func(w *world, all *clients) {
		w.config.KeepAlive = 100 * time.Millisecond
		*all = append(*all, w.another(other))
	})
	_, patient := w.dialWire()
	patient.hold(true)
	key := w.key
	w.key = other
	for i := range 2 { // one after the other, so that the first has been silent for longer by far
		_, line := w.dialWire()
		line.hold(true)
		if ended := w.waitFor("connection ended", i+1)[i]; ended["client"] != "another" || ended["why"] != "the client answered no keepalive" {
			t.Errorf("recorded %v", ended)
		}
	}
	w.key = key
	w.replace(w.boundedBy(registry.Bounds{Idle: 400 * time.Millisecond}), w.another(other))
	if ended := w.waitFor("connection ended", 3)[2]; ended["client"] != "laptop" || fmt.Sprint(ended["why"]) != "the client answered no keepalive" {
		t.Errorf("recorded %v", ended)
	}
}
