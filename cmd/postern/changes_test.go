package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// messages returns the records of an event.
func messages(t *testing.T, config, event string) []map[string]any {
	t.Helper()
	r := runPostern(t, "audit", "--config", config, "--event", event, "--json")
	var all []map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	return all
}

// TestPolicyRefused holds that the trail tells why a gateway did not start, and what
// it goes by when it does.
func TestPolicyRefused(t *testing.T) {
	config := newGatewayFolder(t)
	broken := filepath.Join(filepath.Dir(config), "clients.d", "laptop.yaml")
	if err := os.WriteFile(broken, []byte("shell: yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runPostern(t, "serve", "--config", config)
	if r.status != 1 || strings.Contains(r.stderr, "trail") || strings.Contains(r.stderr, "{") {
		t.Fatalf("%+v", r)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	startServing(t, config).end(t, syscall.SIGTERM)
	refused, loaded := messages(t, config, "policy refused"), messages(t, config, "policy loaded")
	if len(refused) != 1 || len(loaded) != 1 || refused[0]["count"] != 2. || loaded[0]["rule_count"] != 0. {
		t.Fatalf("%v, %v", refused, loaded)
	}
	if first, _ := refused[0]["problems"].([]any); len(first) != 2 || !strings.HasPrefix(first[0].(string), broken+": ") {
		t.Errorf("%q", first)
	}
	if r := runPostern(t, "audit", "--config", config, "--event", "policy refused"); !strings.Contains(r.stdout, "clients.d/laptop.yaml: ") {
		t.Errorf("%+v", r)
	}
	// The gateway was made before it was refused; the trail learns of it later.
	changes := messages(t, config, "administrative change")
	if len(changes) != 1 || changes[0]["command"] != "init" || changes[0]["number"].(float64) < refused[0]["number"].(float64) {
		t.Errorf("%v", changes)
	}
}

// TestRefusalWhileAnotherServes holds that a second gateway with files that it does
// not understand says that it put nothing on record.
func TestRefusalWhileAnotherServes(t *testing.T) {
	config := newGatewayFolder(t)
	s := startServing(t, config)
	if err := os.WriteFile(filepath.Join(filepath.Dir(config), "clients.d", "laptop.yaml"), []byte("shell: yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runPostern(t, "serve", "--config", config); r.status != 1 || !strings.Contains(r.stderr, "were refused: "+filepath.Dir(config)) || !strings.Contains(r.stderr, "another gateway") {
		t.Errorf("%+v", r)
	}
	s.end(t, syscall.SIGTERM)
}
