package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postern/sandbox"
)

// postern returns the command postern.
func postern(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "postern", args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	return cmd
}

// newGatewayFolder runs init in an empty folder and returns the configuration.
func newGatewayFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	config := filepath.Join(folder, "gw", "postern.yaml")
	cmd := postern(t, "init", "--config", config, "--state", filepath.Join(folder, "gw", "state"), "--listen", "127.0.0.1:0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return config
}

// serving is a gateway that runs, and the records that it wrote so far.
type serving struct {
	cmd     *exec.Cmd
	lines   *bufio.Scanner
	address string
	start   map[string]any
}

// startServing returns once the gateway has recorded its start.
func startServing(t *testing.T, config string, change ...func(*exec.Cmd)) *serving {
	t.Helper()
	cmd := postern(t, "serve", "--config", config)
	for _, c := range change {
		c(cmd)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &serving{cmd: cmd, lines: bufio.NewScanner(stderr)}
	for s.start = s.next(t); s.start != nil && s.start["message"] != "gateway started"; s.start = s.next(t) {
	}
	listen, _ := s.start["listen"].([]any)
	if len(listen) == 0 {
		t.Fatalf("the record of the start names no address: %v", s.start)
	}
	s.address, _ = listen[0].(string)
	return s
}

// next returns the next record, or nil at the end.
func (s *serving) next(t *testing.T) map[string]any {
	t.Helper()
	if !s.lines.Scan() {
		return nil
	}
	var record map[string]any
	if err := json.Unmarshal(s.lines.Bytes(), &record); err != nil {
		t.Fatalf("not JSON: %q", s.lines.Text())
	}
	return record
}

// end sends the signal and returns the last record.
func (s *serving) end(t *testing.T, signal os.Signal) map[string]any {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	var last map[string]any
	for record := s.next(t); record != nil; record = s.next(t) {
		last = record
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after %v: %v", signal, err)
	}
	return last
}

func TestServeSaysItsPosture(t *testing.T) {
	s := startServing(t, newGatewayFolder(t))
	for _, field := range []string{"version", "host_keys", "policy", "programs"} {
		if s.start[field] == nil || s.start[field] == "" {
			t.Errorf("the record of the start says nothing of %s: %v", field, s.start)
		}
	}
	if s.start["confinement"] != sandbox.Probe("/proc/self/exe").Level.String() || s.start["clients"] != 0.0 || s.start["message"] != "gateway started" {
		t.Errorf("the record of the start is %v", s.start)
	}
	if last := s.end(t, syscall.SIGTERM); last["message"] != "gateway stopped" {
		t.Errorf("last record %v", last)
	}
}

func TestServeEndsOnInterrupt(t *testing.T) {
	s := startServing(t, newGatewayFolder(t))
	if last := s.end(t, os.Interrupt); last["message"] != "gateway stopped" {
		t.Errorf("last record %v", last)
	}
}

func TestServeNamesWhyItCannotListen(t *testing.T) {
	s := startServing(t, newGatewayFolder(t))
	for _, test := range []struct{ name, address, want string }{
		{"taken", s.address, "address already in use; another program"},
		{"not of this host", "192.0.2.1:2222", "ip address"},
		{"no such interface", "nowhere0:2222", "see ip link"},
		{"no such zone", "[fe80::1%nowhere0]:2222", "see ip link"},
		{"no address", "nonsense", `write "ADDRESS:PORT"`},
		{"no such port", "127.0.0.1:99999", `write "ADDRESS:PORT"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := postern(t, "serve", "--config", newGatewayFolder(t), "--listen", test.address).CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%v: %s", err, out)
			}
			if n := strings.Count(string(out), "\n"); n != 1 {
				t.Errorf("%d lines, want one:\n%s", n, out)
			}
		})
	}
	s.end(t, syscall.SIGTERM)
}

// TestServeMakesHome holds that children get a HOME that is empty and that a
// gateway whose HOME cannot be made does not start.
func TestServeMakesHome(t *testing.T) {
	config := newGatewayFolder(t)
	s := startServing(t, config)
	home := filepath.Join(filepath.Dir(config), "state", "home")
	info, err := os.Stat(home)
	if err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("%v, %v", info, err)
	}
	s.end(t, syscall.SIGTERM)
}

// TestHealthCheck runs the container's health check against a gateway, against
// nothing, and against something that is no SSH server.
func TestHealthCheck(t *testing.T) {
	s := startServing(t, newGatewayFolder(t))
	if out, err := healthCheck(t, s.address).CombinedOutput(); err != nil {
		t.Errorf("a gateway that serves is not healthy: %v\n%s", err, out)
	}
	s.end(t, syscall.SIGTERM)
	if err := healthCheck(t, s.address).Run(); err == nil {
		t.Error("a gateway that has ended is healthy")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\n")
			conn.Close()
		}
	}()
	if err := healthCheck(t, l.Addr().String()).Run(); err == nil {
		t.Error("another server is healthy")
	}
}

// healthCheck is the command of the Dockerfile, for another port.
func healthCheck(t *testing.T, address string) *exec.Cmd {
	t.Helper()
	file, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(file), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "HEALTHCHECK") })
	if at < 0 {
		t.Fatal("the Dockerfile has no HEALTHCHECK")
	}
	list, ok := strings.CutPrefix(strings.TrimSpace(lines[at+1]), "CMD ")
	var words []string
	if err := json.Unmarshal([]byte(list), &words); !ok || err != nil {
		t.Fatalf("%q: %v", lines[at+1], err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "/2222", "/"+port)
	}
	return exec.CommandContext(t.Context(), words[0], words[1:]...)
}
