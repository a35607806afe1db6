package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/gateway/door"
)

// TestUnbanLeavesARequest holds what the command leaves for the gateway, and that it
// is on record.
func TestUnbanLeavesARequest(t *testing.T) {
	config := newGatewayFolder(t)
	state := filepath.Join(filepath.Dir(config), "state")
	for arg, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "192.0.2.7/24": "192.0.2.0/24", "2001:db8::1": "2001:db8::1/128",
	} {
		r := runPostern(t, "unban", arg, "--config", config, "--json")
		var u unbanned
		if err := json.Unmarshal([]byte(r.stdout), &u); err != nil || u.Network != want || u.All {
			t.Errorf("%s: %+v, %v", arg, u, err)
		}
	}
	if r := runPostern(t, "unban", "--all", "--config", config); r.status != exitOK || !strings.Contains(r.stdout, "everybody") {
		t.Errorf("--all: %+v", r)
	}
	for folder, want := range map[string]int{"unban": 5, "audit/notes": 6} { // init leaves one, too
		if all, err := os.ReadDir(filepath.Join(state, folder)); err != nil || len(all) != want {
			t.Errorf("%s: %v, %v", folder, all, err)
		}
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
	file := filepath.Join(filepath.Dir(config), "state", "door.json")
	if err := os.WriteFile(file, []byte(`{"saved":"2999-01-01T00:00:00Z","bars":[{"network":"2001:db8::/32","seconds":90},{"network":"192.0.2.7/32","seconds":61}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runPostern(t, "bans", "--config", config); r.stdout != "NETWORK        FOR\n2001:db8::/32  1m30s\n192.0.2.7/32   1m1s\n" {
		t.Errorf("%+v", r)
	}
	var bars []door.Bar
	r := runPostern(t, "bans", "--config", config, "--json")
	if err := json.Unmarshal([]byte(r.stdout), &bars); err != nil || len(bars) != 2 || bars[1].Seconds != 61 {
		t.Errorf("%+v, %v", r, err)
	}
}
