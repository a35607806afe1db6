package main

import (
	"fmt"
	"strconv"
	"time"
)

// parseWhen reads a time as people write it, in the time zone of this host: how
// long ago (30m, 12h, 7d, 4w), today or yesterday, a day, or a day with a time.
func parseWhen(text string, now time.Time) (time.Time, error) {
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "today":
		return day, nil
	case "yesterday":
		return day.AddDate(0, 0, -1), nil
	}
	if at, ok := ago(text, now); ok {
		return at, nil
	}
	for _, form := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
		if at, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 30m, 12h, 7d or 4w for so long ago, today, yesterday, 2026-10-18, or \"2026-10-18 03:00\"", text)
}

// ago reads how long ago.
func ago(text string, now time.Time) (time.Time, bool) {
	if text == "" {
		return now, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
	if err != nil {
		return now, false
	}
	switch count := int(n); text[len(text)-1] {
	case 'm':
		return now.Add(-time.Duration(count) * time.Minute), true
	case 'h':
		return now.Add(-time.Duration(count) * time.Hour), true
	case 'd':
		return now.AddDate(0, 0, -count), true
	case 'w':
		return now.AddDate(0, 0, -7*count), true
	}
	return now, false
}
