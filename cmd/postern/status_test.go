package main

import (
	"testing"
	"time"

	"postern/audit"
	"postern/registry"
)

func TestStatusOf(t *testing.T) {
	now := time.Date(2026, 10, 18, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration, bytes int64) audit.Backup { return audit.Backup{Time: now.Add(-d), Bytes: bytes} }
	for name, test := range map[string]struct {
		expect   time.Duration
		disabled bool
		backups  []audit.Backup
		state    string
		usual    int64
	}{
		"in time":                      {26 * time.Hour, false, []audit.Backup{ago(50*time.Hour, 10), ago(40*time.Hour, 30), ago(30*time.Hour, 20), ago(25*time.Hour, 1)}, stateOK, 20},
		"too late":                     {26 * time.Hour, false, []audit.Backup{ago(27*time.Hour, 1)}, stateOverdue, 0},
		"never, and one is expected":   {26 * time.Hour, false, nil, stateOverdue, 0},
		"never, and none is expected":  {0, false, nil, stateNone, 0},
		"old, and none is expected":    {0, false, []audit.Backup{ago(2000*time.Hour, 1)}, stateOK, 0},
		"disabled, whatever was hoped": {time.Hour, true, nil, stateDisabled, 0},
	} {
		got := statusOf(registry.Client{Name: "laptop", Expect: test.expect, Disabled: test.disabled}, test.backups, now)
		if got.State != test.state || got.Usual != test.usual || got.Count != len(test.backups) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSpan(t *testing.T) {
	for seconds, want := range map[float64]string{0: "", 59: "0m", 3599: "59m", 26 * 3600: "26h00m", 49*3600 + 59: "2d01h", 90 * 86400: "90d00h"} {
		if got := span(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}
