package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newSendingFolder is [newGatewayFolder], with a list of where the trail is sent.
func newSendingFolder(t *testing.T, send string) string {
	t.Helper()
	config := newGatewayFolder(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), "  #send:\n")
	if !ok {
		t.Fatal("init writes no send that could be changed")
	}
	if err := os.WriteFile(config, []byte(before+"  send: "+send+"\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestServeSendsTheTrail holds that standard output gets the whole trail, once, also
// what was recorded last before a restart.
func TestServeSendsTheTrail(t *testing.T) {
	config := newSendingFolder(t, "[stdout]")
	var sent bytes.Buffer
	for range 2 {
		startServing(t, config, func(cmd *exec.Cmd) { cmd.Stdout = &sent }).end(t, syscall.SIGTERM)
	}
	number := 0.0
	for line := range strings.Lines(sent.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || record["number"] != number+1 {
			t.Errorf("%q is not record %v, %v", line, number+1, err)
		}
		number++
	}
	if n := strings.Count(sent.String(), `"message":"gateway stopped"`); n != 2 {
		t.Errorf("%d of 2 ends were sent:\n%s", n, &sent)
	}
}

// TestServeSurvivesItsReaders holds that the gateway outlives who reads its outputs.
func TestServeSurvivesItsReaders(t *testing.T) {
	config := newSendingFolder(t, "[stdout]")
	cmd := postern(t, "serve", "--config", config)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, _ := postern(t, "audit", "--config", config, "--event", "sending failed", "--json").Output()
		if strings.Contains(string(out), "broken pipe") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the failure was never recorded: %s", out)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
}

// TestWhatCannotBeSentTo holds that serve and check say the same, with the remedy.
func TestWhatCannotBeSentTo(t *testing.T) {
	for send, want := range map[string]string{
		`[{syslog: "tls://logs.example.net", ca: nowhere.pem}]`:  "nowhere.pem: no such file or directory; name a file in PEM",
		`[{syslog: "tls://logs.example.net", ca: postern.yaml}]`: "holds no certificate in PEM; name a file in PEM",
	} {
		config := newSendingFolder(t, send)
		for _, command := range []string{"serve", "check"} {
			out, err := postern(t, command, "--config", config).CombinedOutput()
			words := strings.ReplaceAll(string(out), "\n  remedy: ", "; ")
			if err == nil || !strings.Contains(words, want) {
				t.Errorf("%s with %s: %v\n%s", command, send, err, out)
			}
		}
	}
}
