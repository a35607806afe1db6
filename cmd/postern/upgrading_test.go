package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The manager learns which process is the main one, and that one shows from then on that
// it is alive; the records tell which gateway is which.
func TestUpgradeUnderAManager(t *testing.T) {
	m := newManager(t)
	config := newGatewayFolder(t)
	s := startServing(t, config, m.starts("WATCHDOG_USEC=100000"))
	m.expect("READY=1")
	pid := s.cmd.Process.Pid
	for range 2 {
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		said := m.expect("MAINPID=", "READY=1", "STATUS=", "WATCHDOG=1")
		before := pid
		pid, _ = strconv.Atoi(strings.TrimPrefix(said[0], "MAINPID="))
		if pid == 0 || pid == before {
			t.Fatalf("the manager hears %q", said)
		}
		started := s.awaitRecord(t, "gateway started")
		upgraded := s.awaitRecord(t, "gateway upgraded")
		stopped := s.awaitRecord(t, "gateway stopped")
		if started["gateway"] == upgraded["gateway"] || stopped["gateway"] != upgraded["gateway"] || upgraded["sessions"] != 0. {
			t.Errorf("%v, %v, %v", started, upgraded, stopped)
		}
		if listen, _ := started["listen"].([]any); !slices.Contains(listen, any(s.address)) {
			t.Errorf("it listens on %v, and not on %s", listen, s.address)
		}
		m.expect("WATCHDOG=1", "READY=1", "STATUS=")
	}
	if err := healthCheck(t, s.address).Run(); err != nil {
		t.Error(err)
	}
	// A command gets the reason when there is one not to upgrade.
	if err := exec.Command("sh", "-c", "echo 'x: 1' >> "+config).Run(); err != nil {
		t.Fatal(err)
	}
	r := runPostern(t, "upgrade", "--config", config)
	if r.status != 1 || !strings.Contains(r.stderr, `goes on as before: `) || !strings.Contains(r.stderr, `unknown key "x"`) {
		t.Errorf("%+v", r)
	}
	failed := s.awaitRecord(t, "upgrade failed")
	if !strings.Contains(failed["why"].(string), `unknown key "x"`) {
		t.Errorf("%v", failed)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.expect("STOPPING=1", "READY=1", "STATUS=", "WATCHDOG=1")
	s.awaitRecord(t, "gateway stopped")
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// awaitRecord reads on up to the next record of an event, past what is none.
func (s *serving) awaitRecord(t *testing.T, event string) map[string]any {
	t.Helper()
	for s.lines.Scan() {
		var record map[string]any
		if json.Unmarshal(s.lines.Bytes(), &record) == nil && record["message"] == event {
			return record
		}
	}
	t.Fatalf("there is no record %q", event)
	return nil
}

// Nobody but a gateway makes another process a gateway that takes over.
func TestVariableOfUpgradesByHand(t *testing.T) {
	cmd := postern(t, "serve", "--config", newGatewayFolder(t))
	cmd.Env = append(cmd.Env, "POSTERN_TAKES_OVER=3")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "remove it from the environment") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: %s", err, out)
	}
}
