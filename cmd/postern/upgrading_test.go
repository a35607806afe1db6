package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
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
	s.awaitAll(t)
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

// awaitAll waits until all gateways have ended, which have one standard error.
func (s *serving) awaitAll(t *testing.T) {
	t.Helper()
	for more := true; more; more = s.lines.Scan() {
	}
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
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

// A signal to the newest gateway ends the ones before too, and it ends last.
func TestSignalAfterUpgrades(t *testing.T) {
	m := newManager(t)
	s := startServing(t, newGatewayFolder(t), m.starts())
	m.expect("READY=1")
	pid := s.cmd.Process.Pid
	var peers []net.Conn
	var gateways []any
	for range 2 {
		// Who is on the way in keeps a gateway that steps aside for a while.
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		peers = append(peers, conn)
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		said := m.expect("MAINPID=", "READY=1", "STATUS=")
		if pid, err = strconv.Atoi(strings.TrimPrefix(said[0], "MAINPID=")); err != nil {
			t.Fatal(err)
		}
		gateways = append(gateways, s.awaitRecord(t, "gateway upgraded")["gateway"])
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var ended []any
	for range 3 {
		stopped := s.awaitRecord(t, "gateway stopped")
		if stopped["why"] != "terminated signal received" {
			t.Errorf("%v", stopped)
		}
		ended = append(ended, stopped["gateway"])
	}
	if slices.Contains(gateways, ended[2]) || !slices.Contains(gateways, ended[0]) || !slices.Contains(gateways, ended[1]) {
		t.Errorf("%v ended, and %v had been upgraded", ended, gateways)
	}
	for _, conn := range peers {
		if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	}
	s.awaitAll(t)
}

// The new gateway listens where the files say by now: on a socket that is there already
// as it is, also where the system chose the port.
func TestUpgradeToOtherAddresses(t *testing.T) {
	config := newGatewayFolder(t)
	s := startServing(t, config)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `listen: ["127.0.0.1:0"]`, `listen: ["127.0.0.2:0", "127.0.0.1:0"]`, 1)
	if changed == string(text) {
		t.Fatalf("there is no listen in %s", text)
	}
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runPostern(t, "upgrade", "--config", config); r.status != 0 || !strings.HasPrefix(r.stdout, "upgraded: ") {
		t.Fatalf("%+v", r)
	}
	listen, _ := s.awaitRecord(t, "gateway started")["listen"].([]any)
	if len(listen) != 2 || !strings.HasPrefix(listen[0].(string), "127.0.0.2:") || listen[1] != s.address {
		t.Fatalf("it listens on %v, before on %s", listen, s.address)
	}
	var gateways struct{ Gateways []struct{ PID int } }
	for len(gateways.Gateways) != 1 || gateways.Gateways[0].PID == s.cmd.Process.Pid {
		r := runPostern(t, "status", "--config", config, "--json")
		if err := json.Unmarshal([]byte(r.stdout), &gateways); err != nil {
			t.Fatalf("%v in %+v", err, r)
		}
	}
	for _, address := range listen {
		conn, err := net.Dial("tcp", address.(string))
		if err != nil {
			t.Fatal(err)
		}
		greeting, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(greeting, "SSH-2.0-") {
			t.Errorf("%s says %q, %v", address, greeting, err)
		}
		conn.Close()
	}
	if err := syscall.Kill(gateways.Gateways[0].PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.awaitRecord(t, "gateway stopped")
	s.awaitAll(t)
}
