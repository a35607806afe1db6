package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ran is what a command printed, and how it ended.
type ran struct {
	stdout, stderr string
	status         int
}

func runPostern(t *testing.T, args ...string) ran {
	t.Helper()
	cmd := postern(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// TestAudit reads and verifies the trail of a gateway that ran twice, and of one
// that still runs.
func TestAudit(t *testing.T) {
	config := newGatewayFolder(t)
	dir := filepath.Join(filepath.Dir(config), "state", "audit")
	if r := runPostern(t, "audit", "--config", config); r.status != 1 || !strings.Contains(r.stderr, "postern serve begins one") {
		t.Errorf("without a trail: %+v", r)
	}
	startServing(t, config).end(t, syscall.SIGTERM)
	running := startServing(t, config)
	if r := runPostern(t, "serve", "--config", config); r.status != 1 || !strings.Contains(r.stderr, "another gateway writes this trail") {
		t.Errorf("a second gateway on one trail: %+v", r)
	}
	r := runPostern(t, "audit", "--config", config, "--event", "gateway started", "--json")
	var started []struct{ Message, Confinement string }
	if err := json.Unmarshal([]byte(r.stdout), &started); err != nil || len(started) != 2 || started[0].Message != "gateway started" || started[0].Confinement == "" {
		t.Errorf("%v, %+v", err, r)
	}
	if r := runPostern(t, "audit", "--config", config, "--event", "all", "--since", "1h"); r.status != 0 || strings.Count(r.stdout, "gateway st") != 3 {
		t.Errorf("%+v", r)
	}
	if r := runPostern(t, "audit", "--config", config); r.status != 0 || r.stdout != "no sessions\n" {
		t.Errorf("%+v", r)
	}
	if r := runPostern(t, "audit", "verify", "--config", config); r.status != 0 || !strings.Contains(r.stdout, "nothing was changed") {
		t.Errorf("%+v", r)
	}
	checkpoint := runPostern(t, "audit", "checkpoint", "--config", config)
	kept := filepath.Join(t.TempDir(), "checkpoint.json")
	if err := os.WriteFile(kept, []byte(checkpoint.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	running.end(t, syscall.SIGTERM)
	if r := runPostern(t, "audit", "verify", "--dir", dir, "--checkpoint", kept, "--json"); r.status != 0 || strings.Contains(r.stdout, "fault") {
		t.Errorf("%+v", r)
	}
	tamper(t, dir)
	r = runPostern(t, "audit", "verify", "--dir", dir, "--key", filepath.Join(dir, "key.pub.pem"), "--checkpoint", kept)
	if r.status != 1 || !strings.Contains(r.stdout, ".jsonl:3: record 3 was changed") {
		t.Errorf("%+v", r)
	}
}

// tamper changes the record of the policy, which is the third of the trail.
func tamper(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], bytes.Replace(text, []byte(`"clients":0`), []byte(`"clients":1`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAuditBounds holds that two bounds that are written alike both count.
func TestAuditBounds(t *testing.T) {
	now := time.Date(2026, 10, 18, 3, 4, 5, 0, time.UTC)
	q, err := search{since: "yesterday", until: "yesterday", limit: 1}.query(now)
	if day := now.Truncate(24*time.Hour).AddDate(0, 0, -1); err != nil || !q.Since.Equal(day) || !q.Until.Equal(day) {
		t.Errorf("%+v, %v", q, err)
	}
}

// TestAuditCalledWrongly holds that a slip in a filter is no empty answer.
func TestAuditCalledWrongly(t *testing.T) {
	config := newGatewayFolder(t)
	for _, args := range [][]string{
		{"--since", "soon"}, {"--until", "7"}, {"--address", "home"}, {"--decision", "maybe"}, {"--decision", "all"}, {"--decision", "allow deny"}, {"--limit", "0"}, {"extra"}, {"show"}, {"checkpoint", "x"},
		{"summary", "--since", "soon"}, {"summary", "--until", "2001-01-01"}, {"summary", "x"},
	} {
		if r := runPostern(t, append([]string{"audit", "--config", config}, args...)...); r.status != 2 || r.stdout != "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := runPostern(t, "audit", "show", "none", "--dir", t.TempDir()); r.status != 1 || !strings.Contains(r.stderr, "there is no trail") {
		t.Errorf("%+v", r)
	}
}
