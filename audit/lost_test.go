package audit_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// ends returns how each session that was allowed ended: "seen" or "lost".
func (k *keeping) ends() map[string]string {
	k.t.Helper()
	found := map[string]string{}
	err := audit.Scan(k.dir, audit.Query{}, func(r audit.Record) bool {
		switch {
		case r.Event == "session decided" && r.Verdict == "allow":
			found[r.Session] = ""
		case r.Event == "session ended" && found[r.Session] != "":
			k.t.Errorf("session %s ended twice", r.Session)
		case r.Event == "session ended" && r.Lost:
			found[r.Session] = "lost"
		case r.Event == "session ended":
			found[r.Session] = "seen"
		}
		return true
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return found
}

// killed is the trail as it would be had its gateway been killed now, in the
// middle of a line, with another gateway that goes on.
func (k *keeping) killed(t *testing.T) *keeping {
	t.Helper()
	// What is compressed beside must not move under the copy.
	after := k.copied(t)
	for !slices.Equal(after.files(), k.files()) {
		after = k.copied(t)
	}
	after.o, after.o.Dir = k.o, after.dir
	after.time.Store(k.time.Load())
	after.o.Now = func() time.Time { return time.Unix(after.time.Load(), 0) }
	if files := after.files(); len(files) > 0 {
		last := files[len(files)-1]
		after.put(last, append(bytes.TrimRight(after.raw(last), "\x00"), `{"level":"in`...))
	}
	after.open()
	t.Cleanup(func() { after.trail.Close() })
	return after
}

// Whenever the gateway is killed, and killed again at its next starts, each
// session that was allowed has one end.
func TestEverySessionHasOneEnd(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 5 {
		k := keep(t, func(o *audit.Options) { o.FileSize = 2500 })
		want := map[string]string{}
		running := map[string]bool{}
		for life := range 1 + random.IntN(3) {
			if err := k.trail.GatewayStarted(audit.Start{}); err != nil {
				t.Fatal(err)
			}
			k.live(random, life, want, running)
			if random.IntN(4) == 0 {
				for id := range running {
					k.ended(id, want)
				}
				if err := k.trail.GatewayStopped("signal"); err != nil {
					t.Fatal(err)
				}
			} else {
				for id := range running {
					want[id] = "lost"
				}
			}
			clear(running)
			// It is killed once more before it gets far.
			k = k.killed(t).killed(t)
			k.wait(time.Duration(random.IntN(40)) * time.Hour)
		}
		if got := k.ends(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the sessions ended so: %v\nwant %v", got, want)
		}
		k.sound()
	}
}

// live runs sessions, some of which go on.
func (k *keeping) live(random *rand.Rand, life int, want map[string]string, running map[string]bool) {
	k.t.Helper()
	for n := range random.IntN(30) {
		id := fmt.Sprintf("%08x%08x.1", life, n)
		c := from
		c.ID = id[:16]
		// What a client sends cannot pass for an end.
		request := `rsync ","session":"` + id + `","message":"session ended"}`
		if err := k.trail.SessionDecided(c, audit.Decision{Session: id, Request: request, Verdict: "allow"}); err != nil {
			k.t.Fatal(err)
		}
		running[id] = true
		for id := range running {
			if random.IntN(3) == 0 {
				k.ended(id, want)
				delete(running, id)
			}
		}
		if random.IntN(10) == 0 {
			k.wait(24 * time.Hour)
		}
	}
}

func (k *keeping) ended(id string, want map[string]string) {
	k.t.Helper()
	want[id] = "seen"
	if err := k.trail.SessionEnded(from, audit.End{Session: id, Why: "the program ended"}); err != nil {
		k.t.Fatal(err)
	}
}

// The end of a lost session says whose it was, and is written once.
func TestLostSession(t *testing.T) {
	k := keep(t)
	if err := k.trail.SessionDecided(from, audit.Decision{Session: "c1.1", Verdict: "allow"}); err != nil {
		t.Fatal(err)
	}
	if err := k.trail.SessionDecided(from, audit.Decision{Session: "c1.2", Verdict: "deny"}); err != nil {
		t.Fatal(err)
	}
	k = k.killed(t)
	k = k.killed(t)
	sessions, err := audit.NewestSessions(k.dir, audit.Query{}, 10)
	if err != nil || len(sessions) != 2 || sessions[0].Ended != nil {
		t.Fatalf("%+v, %v", sessions, err)
	}
	end := sessions[1].Ended
	if end == nil || !end.Lost || end.Status != nil || end.Client != from.Client || end.Address != from.Address || end.Connection != from.ID {
		t.Errorf("%+v", end)
	}
	if n := strings.Count(string(k.raw(k.files()[0])), `"message":"session ended"`); n != 1 {
		t.Errorf("%d ends in %s", n, filepath.Join(k.dir, k.files()[0]))
	}
}

// A file that cannot be read any more keeps no gateway from starting.
func TestDamagedFileIsNoReasonNotToStart(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 1500 })
	for n := range 20 {
		if err := k.trail.SessionDecided(from, audit.Decision{Session: fmt.Sprintf("c1.%d", n), Verdict: "allow"}); err != nil {
			t.Fatal(err)
		}
	}
	k.close()
	files := slices.DeleteFunc(k.files(), func(name string) bool { return !strings.HasSuffix(name, ".zst") })
	if len(files) < 3 {
		t.Fatalf("files %q", files)
	}
	if err := os.WriteFile(filepath.Join(k.dir, files[1]), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.open()
	k.close()
}
