package policy_test

import (
	"slices"
	"testing"
)

// TestLogged wants the log's options where rsync reads them as its own, and the
// rest as it was.
func TestLogged(t *testing.T) {
	for request, server := range map[string][]string{
		push + ". " + k1 + "/sub": {"rsync", "--server"},
		pull + ". " + k1 + "/sub": {"rsync", "--server", "--sender"},
	} {
		d := decide(t, rsyncRule(), host(), request)
		want := slices.Concat(server, []string{"--log-file=/log", "--log-file-format=%n"}, d.Args[len(server):])
		if got := d.Logged("/log", "%n"); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
		if paths := d.Paths(); !slices.Equal(paths, []string{k1 + "/sub"}) {
			t.Errorf("%s: paths %q", request, paths)
		}
	}
}
