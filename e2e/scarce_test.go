package e2e

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSiegeScarce has a gateway run out of descriptors. Who comes then reads that
// nothing could be started for him, those who are there end well, and when they have
// left there is room again.
func TestSiegeScarce(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	limit := unix.Rlimit{Cur: uint64(len(c.p.open)) + 60, Max: uint64(len(c.p.open)) + 60}
	if err := unix.Prlimit(c.p.pid(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	all := c.members
	c.members = nil
	for _, m := range all {
		if err := c.begin(m); err != nil {
			if said := m.complaints.String(); !strings.Contains(said, "postern: refused: the program could not be started") {
				t.Errorf("%v: %s", err, said)
			}
			break
		}
		c.members = append(c.members, m)
	}
	t.Logf("%d of %d have begun", len(c.members), len(all))
	if len(c.members) == 0 || len(c.members) == len(all) {
		t.Error("the gateway did not run out of descriptors in the midst of them")
	}
	c.gate.Close()
	c.dissolve()
	if err := c.p.idle(); err != nil {
		t.Error(err)
	}
	if err := (&backups{w: c.world, ssh: "ssh", folder: "good"}).push(); err != nil {
		t.Error(err)
	}
}
