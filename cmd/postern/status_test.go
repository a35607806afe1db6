package main

import (
	"slices"
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

// TestStatusTrend holds that a backup is compared with those of its own tool.
func TestStatusTrend(t *testing.T) {
	now := time.Date(2026, 10, 18, 3, 0, 0, 0, time.UTC)
	var backups []audit.Backup
	add := func(tool string, sizes ...int64) {
		for _, size := range sizes {
			backups = append(backups, audit.Backup{Time: now, Tool: tool, Bytes: size})
		}
	}
	add("borg", 10_000, 0, 20_000)
	add("rsync", 100, 90, 100, 120, 100, 100, 100, 110)
	s := statusOf(registry.Client{}, backups, now)
	if s.Usual != 100 || s.Trend == nil || *s.Trend != 10 || !slices.Equal(s.Sizes, []int64{90, 100, 120, 100, 100, 100, 110}) {
		t.Errorf("%+v", s)
	}
	add("borg", 5000)
	if s := statusOf(registry.Client{}, backups, now); s.Usual != 10_000 || *s.Trend != -50 || s.Count != 12 {
		t.Errorf("%+v", s)
	}
	// Nothing is a multiple of nothing.
	if s := statusOf(registry.Client{}, []audit.Backup{{}, {Bytes: 7}}, now); s.Trend != nil {
		t.Errorf("%+v", s)
	}
}

func TestFilesInWords(t *testing.T) {
	for want, files := range map[string]*audit.FileCounts{
		"": nil, "+1 ~2 -3 >4": {Created: 1, Changed: 2, Deleted: 3, Sent: 4}, "-3": {Deleted: 3},
	} {
		if got := filesInWords(files); got != want {
			t.Errorf("%+v: %q, want %q", files, got, want)
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
