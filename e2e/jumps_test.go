package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestClockJumps has the time of day jump for hours and days, ahead and back, while an
// rsync and a borg are at work. They go on to their ends, and so do new ones; who has
// an hour yet is out at once; penalties neither end nor last longer; each day has its
// records, of which none is lost.
func TestClockJumps(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	j := newJumps(t)
	push := j.start("rsync", "-a", "--bwlimit=1M", "big/", "laptop:x")
	archive := j.start("borg", "create", "--upload-ratelimit", "1000", "laptop:"+j.repository+"::jumps", "big")
	short := j.start("rsync", "-a", "--bwlimit=100k", "big/", "short:x")
	j.await("nas/data/x/.file.*", "nas/short/x/.file.*")
	j.barred()
	silent, since := j.silent(), time.Now()
	for _, ahead := range []time.Duration{5 * time.Hour, -5 * time.Hour, 26 * time.Hour, 50 * time.Hour, -30 * 24 * time.Hour, 70 * 365 * 24 * time.Hour, 0} {
		j.clock.set(ahead)
		j.must(t, "rsync", "-a", "src/", fmt.Sprintf("laptop:%d", ahead))
		j.barred()
		j.dated(ahead)
	}
	if !silent() && time.Since(since) < 15*time.Second {
		t.Error("who had not signed in yet lost its time")
	}
	if err := short.Wait(); err == nil || !strings.Contains(short.said.String(), `postern: ended: no longer allowed: client "short" expired at `) {
		t.Errorf("who had an hour yet: %v, %s", err, &short.said)
	}
	j.must(t, "rsync", "-a", "src/", "short:again") // its hour has not come
	push.well(t)
	archive.well(t)
	j.must(t, "borg", "check", "laptop:"+j.repository)
	if found, err := sameTree(j.path("big"), j.path("nas/data/x"), []string{"dirmtime"}, nil); err != nil || len(found) > 0 {
		t.Errorf("what was pushed differs: %v, %v", found, err)
	}
	out, err := j.postern("audit", "verify")
	if err != nil || !strings.Contains(out, ", from 1 to ") {
		t.Errorf("the trail is not whole: %v\n%s", err, out)
	}
	decided, ends := j.sessions(t)
	t.Logf("%d sessions: %v; the time of day was asked for %d times", len(decided), ends, j.clock.answered.Load())
	j.lasted()
}

// jumps is a gateway whose clock jumps.
type jumps struct{ *storm }

func newJumps(t *testing.T) *jumps {
	t.Helper()
	s := &storm{world: newTestWorld(t, manner{level: full}), t: t}
	s.binary, s.clock = os.Getenv(envPlain), &clock{}
	s.config = append(s.config, "connection: {penalties: {refuseconnection: 10m}}")
	s.repository = s.path("nas/borg/repo")
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, args := range [][]string{{"laptop", "rsync:nas/data", "borg:nas/borg"}, {"short", "expires=" + soon, "rsync:nas/short"}, {"elsewhere", "from=[192.0.2.0/24]", "rsync:nas/short"}} {
		if _, err := s.addClient(args...); err != nil {
			t.Fatal(err)
		}
	}
	data := make([]byte, 6<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	for name, content := range map[string][]byte{"big/file": data, "src/file": []byte("small")} {
		if err := write(s.path(name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.world.start(); err != nil {
		t.Fatal(err)
	}
	s.p = s.server.(*postern)
	j := &jumps{s}
	j.must(t, "borg", "init", "-e", "none", "laptop:"+s.repository)
	if _, _, status, _ := j.run("ssh", "-o", "BindAddress=127.0.0.66", "elsewhere", "borg serve"); status != 255 {
		t.Fatalf("a client from elsewhere: status %d", status)
	}
	return j
}

// await waits for files.
func (j *jumps) await(patterns ...string) {
	j.t.Helper()
	for _, pattern := range patterns {
		if err := until(func() (bool, string) {
			found, _ := filepath.Glob(j.path(pattern))
			return len(found) > 0, "no file " + pattern
		}); err != nil {
			j.t.Fatal(err)
		}
	}
}

// silent is a connection that does not sign in, and tells whether it is still there. It
// has 20 seconds.
func (j *jumps) silent() (there func() bool) {
	j.t.Helper()
	conn, err := net.Dial("tcp", j.server.Address())
	if err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(func() { conn.Close() })
	if _, err := conn.Read(make([]byte, 1<<10)); err != nil { // the greeting
		j.t.Fatal(err)
	}
	return func() bool {
		conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := conn.Read(make([]byte, 1<<10))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
}

// barred fails unless the source that failed is barred, for as long as it was.
func (j *jumps) barred() {
	j.t.Helper()
	out, err := j.postern("bans", "--json")
	if err != nil {
		j.t.Fatal(err)
	}
	var bars []struct {
		Network string
		Seconds float64
	}
	if err := json.Unmarshal([]byte(out), &bars); err != nil {
		j.t.Fatal(err)
	}
	if len(bars) != 1 || bars[0].Network != "127.0.0.66/32" || bars[0].Seconds > 600 || bars[0].Seconds < 600-4*patience.Seconds() {
		j.t.Errorf("barred are %+v", bars)
	}
}

// dated waits until the newest records are of the day that the gateway believes in.
func (j *jumps) dated(ahead time.Duration) {
	j.t.Helper()
	if err := until(func() (bool, string) {
		now := time.Now().Add(ahead).UTC()
		found, _ := filepath.Glob(j.path("gw/state/audit/*." + now.Format(time.DateOnly) + ".*"))
		return len(found) > 0, "no records of " + now.Format(time.DateOnly)
	}); err != nil {
		j.t.Error(err)
	}
}

// lasted looks how long sessions lasted, by their records: no jump counts.
func (j *jumps) lasted() {
	j.t.Helper()
	for line := range strings.Lines(j.p.log.tail(1 << 20)) {
		var record struct {
			Message string
			Seconds float64
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Message == "session ended" && (record.Seconds < 0 || record.Seconds > 4*patience.Seconds()) {
			j.t.Errorf("%s", line)
		}
	}
}
