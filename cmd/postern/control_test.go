package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/gateway"
)

// TestNoGateway holds what commands say that only a gateway can answer, and that
// nothing is put on record or left behind.
func TestNoGateway(t *testing.T) {
	config := newGatewayFolder(t)
	notes := filepath.Join(filepath.Dir(config), "state", "audit", "notes")
	before, err := os.ReadDir(notes)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"sessions"}, {"sessions", "--watch", "--json"}, {"reload"}, {"kill", "--all"}, {"kill", "6ad41b0511e4b7a8.1"}} {
		r := runPostern(t, append(args, "--config", config)...)
		if r.status != exitNo || r.stdout != "" || !strings.HasPrefix(r.stderr, "postern: no gateway runs with the state in ") ||
			!strings.Contains(r.stderr, "; start one with postern serve --config "+config) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if after, err := os.ReadDir(notes); err != nil || len(after) != len(before) {
		t.Errorf("left are %v, %v", after, err)
	}
}

func TestKillIsCalledRightly(t *testing.T) {
	config := newGatewayFolder(t)
	for _, args := range [][]string{{}, {"a", "--all"}, {"--client", "a", "--all"}, {"a", "b"}} {
		if r := runPostern(t, append([]string{"kill", "--config", config}, args...)...); r.status != exitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// TestReloadCommand holds that reload tells what became of the files, and that the
// gateway tells it of itself.
func TestReloadCommand(t *testing.T) {
	config := newGatewayFolder(t)
	s := startServing(t, config)
	reload := func(status int) reloaded {
		t.Helper()
		r := runPostern(t, "reload", "--config", config, "--json")
		var all []reloaded
		if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all) != 1 || r.status != status || all[0].PID != s.cmd.Process.Pid {
			t.Fatalf("%v: %+v", err, r)
		}
		return all[0]
	}
	first := reload(exitOK)
	if first.Outcome != outcomeLoaded || first.Clients != 0 || first.Policy == "" {
		t.Errorf("%+v", first)
	}
	file := filepath.Join(filepath.Dir(config), "clients.d", "laptop.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("principals: [laptop]\nshell: yes\n")
	refused := reload(exitNo)
	if refused.Outcome != outcomeRefused || refused.Policy != first.Policy || len(refused.Problems) != 1 || refused.Problems[0].File != file || refused.Problems[0].Line != 2 || refused.Problems[0].Column != 1 {
		t.Errorf("%+v", refused)
	}
	r := runPostern(t, "reload", "--config", config)
	if r.status != exitNo || !strings.HasPrefix(r.stdout, "refused: the gateway goes on by the files before, 0 clients with 0 rules ") || !strings.Contains(r.stdout, "error: "+file+":2:1: ") || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	state, err := (&app{config: config}).state()
	if err != nil {
		t.Fatal(err)
	}
	if all := (&app{config: config}).gateways(state); len(all) != 1 || len(all[0].Problems) != 1 || all[0].State != stateServing || all[0].Version == "" || all[0].Since.IsZero() {
		t.Errorf("%+v", all)
	}
	write("principals: [laptop]\n")
	if now := reload(exitOK); now.Clients != 1 || now.Policy == first.Policy || now.Problems != nil {
		t.Errorf("%+v", now)
	}
	s.end(t, syscall.SIGTERM)
	if left, err := os.ReadDir(filepath.Join(state, "control")); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	var shown overview
	r = runPostern(t, "status", "--config", config, "--json")
	if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil || r.status != exitOK || shown.Gateways == nil || len(shown.Gateways) != 0 || shown.Clients == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if r := runPostern(t, "status", "--config", config); !strings.HasPrefix(r.stdout, "no gateway runs\n") || r.status != exitOK {
		t.Errorf("%+v", r)
	}
}

// What a gateway left that was killed hinders neither commands nor the next one.
func TestKilledGateway(t *testing.T) {
	config := newGatewayFolder(t)
	s := startServing(t, config)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.cmd.Wait()
	if r := runPostern(t, "sessions", "--config", config); r.status != exitNo || !strings.Contains(r.stderr, "no gateway runs") {
		t.Errorf("%+v", r)
	}
	next := startServing(t, config)
	if r := runPostern(t, "sessions", "--config", config); r.status != exitOK || r.stdout != "nothing runs\n" {
		t.Errorf("%+v", r)
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(config), "state", "control", "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	next.end(t, syscall.SIGTERM)
}

// A gateway whose socket somebody removed can be asked again soon.
func TestSocketReappears(t *testing.T) {
	config := newGatewayFolder(t)
	s := startServing(t, config)
	if err := os.RemoveAll(filepath.Join(filepath.Dir(config), "state", "control")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); runPostern(t, "sessions", "--config", config).status != exitOK; {
		if time.Now().After(deadline) {
			t.Fatal("it cannot be asked any more")
		}
	}
	s.end(t, syscall.SIGTERM)
}

// TestRate holds that a rate is that since the last look, and else that of all the
// time.
func TestRate(t *testing.T) {
	since := time.Date(2026, 10, 18, 3, 0, 0, 0, time.UTC)
	s := gateway.Session{ID: "a.1", Since: since, In: 9000, Out: 900, Err: 100}
	l := &look{}
	first := l.shown(s, 7, since.Add(10*time.Second))
	if first.Rate != 1000 || first.Seconds != 10 || first.PID != 7 {
		t.Errorf("%+v", first)
	}
	l.before, l.at = []shownSession{first}, since.Add(10*time.Second)
	s.In += 50
	if next := l.shown(s, 7, since.Add(12*time.Second)); next.Rate != 25 {
		t.Errorf("%+v", next)
	}
	s.ID = "b.1"
	if other := l.shown(s, 7, since.Add(-time.Second)); other.Rate != 0 || other.Seconds != 0 {
		t.Errorf("%+v", other)
	}
}

// TestRunningFits holds that the table is no wider than a terminal, and names the
// gateways where there are several.
func TestRunningFits(t *testing.T) {
	session := func(pid int) shownSession {
		s := gateway.Session{ID: "6ad41b0511e4b7a8.1", Client: "laptop\x1b[2J", Address: "[2001:db8::1]:50000", In: 5 << 20, What: "writes to /volume1/Backups/laptop", State: gateway.SessionRunning}
		return shownSession{Session: s, PID: pid, Seconds: 61.5, Rate: 1 << 20}
	}
	print := func(width int, all ...shownSession) string {
		var b strings.Builder
		printRunning(&b, all, width)
		return b.String()
	}
	wide := print(0, session(7))
	for _, text := range []string{"1m1s", "5.0 MiB", "1.0 MiB/s", "running", "2001:db8::1 ", `"laptop\x1b[2J"`, "writes to /volume1/Backups/laptop"} {
		if !strings.Contains(wide, text) {
			t.Errorf("%q is not in %s", text, wide)
		}
	}
	if strings.Contains(wide, "GATEWAY") || !strings.Contains(print(0, session(7), session(8)), "GATEWAY") {
		t.Error("gateways are named where there is one, or not where there are two")
	}
	for line := range strings.Lines(print(80, session(7), session(8))) {
		if len(strings.TrimRight(line, "\n")) > 80 {
			t.Errorf("too wide: %q", line)
		}
	}
	if got := print(0); got != "nothing runs\n" {
		t.Errorf("%q", got)
	}
}

func TestOverviewInWords(t *testing.T) {
	until := time.Date(2026, 10, 18, 3, 0, 0, 0, time.Local)
	for want, g := range map[string]gatewayStatus{
		"serving": {State: stateServing}, "retiring, until its sessions have ended": {State: stateRetiring},
		"retiring until 2026-10-18 03:00:00": {State: stateRetiring, Until: &until},
	} {
		if got := g.inWords(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var b strings.Builder
	overview{}.print(&b, 0)
	if lines := slices.Collect(strings.Lines(b.String())); !slices.Equal(lines, []string{"no clients\n"}) {
		t.Errorf("of a copy: %q", lines)
	}
}
