package main

import (
	"testing"
	"time"
)

func TestParseWhen(t *testing.T) {
	zone := time.FixedZone("here", 7200)
	now := time.Date(2026, 10, 18, 3, 4, 5, 0, zone)
	for text, want := range map[string]string{
		"30m":                  "2026-10-18T02:34:05+02:00",
		"12h":                  "2026-10-17T15:04:05+02:00",
		"7d":                   "2026-10-11T03:04:05+02:00",
		"4w":                   "2026-09-20T03:04:05+02:00",
		"today":                "2026-10-18T00:00:00+02:00",
		"yesterday":            "2026-10-17T00:00:00+02:00",
		"2026-10-01":           "2026-10-01T00:00:00+02:00",
		"2026-10-01 13:30":     "2026-10-01T13:30:00+02:00",
		"2026-10-01 13:30:15":  "2026-10-01T13:30:15+02:00",
		"2026-10-01T13:30":     "2026-10-01T13:30:00+02:00",
		"2026-10-01T13:30:00Z": "2026-10-01T13:30:00Z",
	} {
		if got, err := parseWhen(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v, want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-7d", "7y", "tomorrow", "2026-13-01", "99999999999d"} {
		if got, err := parseWhen(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
