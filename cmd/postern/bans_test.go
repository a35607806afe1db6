package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/gateway/door"
)

// barred writes what a gateway saved that has ended.
func barred(t *testing.T, config string) {
	t.Helper()
	file := filepath.Join(filepath.Dir(config), "state", "door.json")
	text := `{"saved":"2999-01-01T00:00:00Z","bars":[{"network":"2001:db8::/32","seconds":90},{"network":"192.0.2.7/32","seconds":61}],"known":[{"network":"192.0.2.9/32","seen":"2026-01-01T00:00:00Z"}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestUnbanWithoutAGateway holds that what is lifted is lifted for the next gateway,
// with nothing else lost, and that it is on record.
func TestUnbanWithoutAGateway(t *testing.T) {
	config := newGatewayFolder(t)
	state := filepath.Join(filepath.Dir(config), "state")
	for _, step := range []struct {
		arg, network string
		lifted, left int
	}{
		{"192.0.2.8", "192.0.2.8/32", 0, 2}, {"::ffff:192.0.2.7", "192.0.2.7/32", 1, 1},
		{"2001:db8::1", "2001:db8::1/128", 1, 1}, {"192.0.2.7/24", "192.0.2.0/24", 1, 1},
	} {
		barred(t, config)
		r := runPostern(t, "unban", step.arg, "--config", config, "--json")
		var u unbanned
		if err := json.Unmarshal([]byte(r.stdout), &u); err != nil || u.Network.String() != step.network || u.All || u.Lifted != step.lifted {
			t.Errorf("%s: %+v, %v", step.arg, u, err)
		}
		s, err := door.Read(state, time.Now())
		if err != nil || len(s.Bars) != step.left || len(s.Known) != 1 {
			t.Errorf("%s: %+v, %v", step.arg, s, err)
		}
	}
	barred(t, config)
	if r := runPostern(t, "unban", "--all", "--config", config); r.status != exitOK || r.stdout != "lifted the penalties of everybody (2 networks)\n" {
		t.Errorf("--all: %+v", r)
	}
	if r := runPostern(t, "unban", "--all", "--config", config); r.status != exitOK || !strings.Contains(r.stdout, "nothing to lift") {
		t.Errorf("--all again: %+v", r)
	}
	if all, err := os.ReadDir(filepath.Join(state, "audit/notes")); err != nil || len(all) != 7 { // init leaves one, too
		t.Errorf("%v, %v", all, err)
	}
}

// A gateway that begins or ends, and so writes the file, is waited for.
func TestUnbanWaitsForItsTurn(t *testing.T) {
	config := newGatewayFolder(t)
	release, err := holdControl(filepath.Join(filepath.Dir(config), "state"), holdTime)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan ran)
	go func() { ended <- runPostern(t, "unban", "--all", "--config", config) }()
	barred(t, config)
	release()
	if r := <-ended; !strings.Contains(r.stdout, "2 networks") {
		t.Errorf("%+v", r)
	}
}

func TestUnbanIsCalledRightly(t *testing.T) {
	config := newGatewayFolder(t)
	for _, args := range [][]string{{}, {"192.0.2.7", "--all"}, {"nas"}, {"192.0.2.7/33"}, {"a", "b"}} {
		if r := runPostern(t, append([]string{"unban", "--config", config}, args...)...); r.status != exitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

func TestBans(t *testing.T) {
	config := newGatewayFolder(t)
	if r := runPostern(t, "bans", "--config", config); r.stdout != "nobody is barred\n" {
		t.Errorf("%+v", r)
	}
	barred(t, config)
	if r := runPostern(t, "bans", "--config", config); r.stdout != "NETWORK        FOR\n2001:db8::/32  1m30s\n192.0.2.7/32   1m1s\n" {
		t.Errorf("%+v", r)
	}
	var bars []door.Bar
	r := runPostern(t, "bans", "--config", config, "--json")
	if err := json.Unmarshal([]byte(r.stdout), &bars); err != nil || len(bars) != 2 || bars[1].Seconds != 61 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestDoorOfTwoGateways holds that one which ends beside another leaves it the file.
func TestDoorOfTwoGateways(t *testing.T) {
	config := newGatewayFolder(t)
	state := filepath.Join(filepath.Dir(config), "state")
	g := &running{door: door.New(door.Config{})}
	var err error
	if g.keeper, err = door.Keep(g.door, state); err != nil {
		t.Fatal(err)
	}
	visit, err := g.door.Knock(netip.MustParseAddr("192.0.2.7"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	visit.End(door.Crash)
	saved := func() int {
		t.Helper()
		if err := g.keepLast(state); err != nil {
			t.Fatal(err)
		}
		s, err := door.Read(state, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return len(s.Bars)
	}
	other := startServing(t, config)
	if n := saved(); n != 0 {
		t.Errorf("it saved %d bars beside another gateway", n)
	}
	other.end(t, syscall.SIGTERM)
	if n := saved(); n != 1 {
		t.Errorf("it saved %d bars", n)
	}
}
