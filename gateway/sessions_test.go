package gateway_test

import (
	"strings"
	"testing"
	"time"

	"postern/gateway"
)

// sent waits until the one session of a client has taken in so many bytes.
func (w *world) sent(client string, bytes int64) gateway.Session {
	w.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		for _, s := range w.server.Sessions() {
			if s.Client == client && s.In >= bytes {
				return s
			}
		}
	}
	w.t.Fatalf("the sessions are %+v", w.server.Sessions())
	return gateway.Session{}
}

// What runs can be seen, and one of two be ended without the other.
func TestSessionsAndKill(t *testing.T) {
	other := newKey(t)
	w := serve(t, script(t, waits), func(w *world, all *clients) { *all = append(*all, w.another(other)) })
	if all := w.server.Sessions(); all == nil || len(all) != 0 {
		t.Errorf("without any: %#v", all)
	}
	concerned, bystander := w.running(w.key), w.running(other)
	if _, err := concerned.stdin.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	s := w.sent("laptop", 100_000)
	if s.Tool != "rsync" || s.Direction != "push" || s.What != "writes to "+w.data || len(s.Paths) != 1 || s.Paths[0] != w.data ||
		s.State != gateway.SessionRunning || s.Out != int64(len("started\n")) || s.Key == "" || !strings.HasPrefix(s.Address, "127.0.0.1:") || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
	if w.server.Connections() != 2 {
		t.Errorf("%d connections", w.server.Connections())
	}
	if none := w.server.Kill(t.Context(), func(s gateway.Session) bool { return s.Client == "nobody" }); none == nil || len(none) != 0 {
		t.Errorf("killed %+v", none)
	}
	killed := w.server.Kill(t.Context(), func(one gateway.Session) bool { return one.ID == s.ID })
	if len(killed) != 1 || killed[0].ID != s.ID || killed[0].In != 100_000 || killed[0].State != gateway.SessionEnding {
		t.Errorf("killed %+v", killed)
	}
	if left := w.server.Sessions(); len(left) != 1 || left[0].Client != "another" {
		t.Errorf("left are %+v", left)
	}
	status, _ := concerned.ends(t)
	if said := concerned.complaints.String(); status == 0 || said != "postern: ended: by the operator\n" {
		t.Errorf("status %d, %q", status, said)
	}
	if ended := w.wait("session ended"); ended["client"] != "laptop" || ended["why"] != "by the operator" || ended["status"] == 0. {
		t.Errorf("recorded %v", ended)
	}
	if _, err := concerned.client.NewSession(); err != nil {
		t.Errorf("the connection does not go on: %v", err)
	}
	bystander.finishes(t)
}

// One that waits for its turn is refused, and the one that it waited for goes on.
func TestKillOfOneThatWaits(t *testing.T) {
	w, other, below := shared(t)
	first := w.asks(w.key, w.push())
	first.reads(t, first.out, "started")
	second := w.asks(other, below)
	second.reads(t, second.told, "postern: waiting for another session")
	killed := w.server.Kill(t.Context(), func(s gateway.Session) bool { return s.Client == "another" })
	if len(killed) != 1 || len(w.server.Sessions()) != 1 {
		t.Errorf("killed %+v, and left %+v", killed, w.server.Sessions())
	}
	second.reads(t, second.told, "postern: refused: by the operator\n")
	if status := exitStatus(t, second.Wait()); status != 126 {
		t.Errorf("status %d", status)
	}
	first.stdin.Close()
	if status := exitStatus(t, first.Wait()); status != 7 {
		t.Errorf("the first: status %d", status)
	}
}
