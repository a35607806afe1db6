package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFit(t *testing.T) {
	rows := [][]string{{"TIME", "WHO", "WHERE", "WHAT"}, {"12:00", "ann", "192.0.2.7", "push"}, {"13:00", "bo\x1b", "::1", "pull"}}
	for width, want := range map[int]string{
		0:   "TIME WHO WHERE WHAT",
		200: "TIME WHO WHERE WHAT",
		// 5 + 2 + 8 (quoted) + 2 + 9 + 2 + 4
		32: "TIME WHO WHERE WHAT",
		31: "TIME WHO WHAT",
		21: "TIME WHO WHAT",
		20: "TIME WHO",
		1:  "TIME WHO",
	} {
		given := slices.Clone(rows)
		if got := strings.Join(fit(given, width, "WHERE", "none", "WHAT")[0], " "); got != want {
			t.Errorf("%d characters: %q, want %q", width, got, want)
		}
	}
}
