package sandbox_test

import (
	"strings"
	"testing"

	"postern/sandbox"
)

// TestAbilities says what this host gives, and which levels' tests are skipped for
// want of what. .ci/run shows it, since go test is silent about skips.
func TestAbilities(t *testing.T) {
	a := sandbox.Probe(self)
	t.Logf("this host gives %s", a)
	for _, l := range levels {
		t.Run(l.String(), func(t *testing.T) {
			if !a.Level.Includes(l) {
				t.Skipf("its tests are skipped; it takes %s", strings.Join(a.Hints, "; "))
			}
		})
	}
}
