package audit_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/audit"
)

// writerVerb makes the test binary a gateway that writes sessions.
const writerVerb = "write-a-trail"

// beWriter joins the trail of descriptors 3 and 4, and records sessions, some at once,
// until its input ends: then it stops as a gateway does. It tells of each record that is
// on the disk.
func beWriter(args []string) int {
	now, _ := strconv.ParseInt(args[2], 10, 64)
	size, _ := strconv.ParseInt(args[3], 10, 64)
	trail, err := audit.Open(audit.Options{
		Dir: args[0], Now: func() time.Time { return time.Unix(now, 0) }, FileSize: size,
		Offered: []*os.File{os.NewFile(3, "lock"), os.NewFile(4, "turn")},
	})
	if err == nil {
		err = trail.GatewayStarted(audit.Start{Version: args[1]})
	}
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, "ready", trail.Began())
	var stop = make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	var all sync.WaitGroup
	failed := make(chan error, 10)
	for lane := range 3 {
		all.Go(func() {
			for n := 0; !over(stop); n++ {
				id := fmt.Sprintf("%s%04x%010x.1", args[1], lane, n)
				c := from
				c.ID = strings.TrimSuffix(id, ".1")
				if err := trail.SessionDecided(c, audit.Decision{Session: id, Verdict: "allow", Request: strings.Repeat("x", n%700)}); err != nil {
					failed <- err
					return
				}
				fmt.Fprintln(os.Stdout, "decided", id)
				if err := trail.SessionEnded(c, audit.End{Session: id, Why: "the program ended"}); err != nil {
					failed <- err
					return
				}
				fmt.Fprintln(os.Stdout, "ended", id)
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		fmt.Fprintln(os.Stdout, "failed", err)
	}
	if err := errors.Join(trail.GatewayStopped("signal"), trail.Close()); err != nil {
		fmt.Fprintln(os.Stdout, "failed", err)
	}
	return 0
}

// writer is another process that writes a trail.
type writer struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	ready  chan string
	lines  chan []string
	killed bool
}

// join starts a writer of the trail that is offered.
func (k *keeping) join(name string, offer *audit.Offer) *writer {
	k.t.Helper()
	w := &writer{ready: make(chan string, 1), lines: make(chan []string, 1)}
	w.cmd = exec.Command(os.Args[0], writerVerb, k.dir, name, strconv.FormatInt(k.time.Load(), 10), strconv.FormatInt(k.o.FileSize, 10))
	w.cmd.ExtraFiles = offer.Files()
	w.cmd.Stderr = os.Stderr
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	w.stdin = stdin
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go func() {
		var said []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if said = append(said, lines.Text()); len(said) == 1 {
				w.ready <- said[0]
			}
		}
		w.lines <- said
	}()
	if said := <-w.ready; !strings.HasPrefix(said, "ready ") {
		k.t.Fatal(said)
	}
	return w
}

// end ends the writer, by a kill or in order, and returns what it said.
func (w *writer) end(kill bool) []string {
	if w.killed = kill; kill {
		w.cmd.Process.Kill()
	}
	w.stdin.Close()
	said := <-w.lines
	w.cmd.Wait() // one that was killed says so
	return said
}

var shareRounds = flag.Int("share-rounds", 4, "how many of the processes that share a trail end or are killed")

// Several processes write one trail at once, over many files, come, go and are killed
// in the middle of whatever they do: the chain is one, and every session has one end.
func TestProcessesShareATrail(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	k := keep(t, func(o *audit.Options) { o.FileSize = 60_000 })
	k.started()
	offer, err := k.trail.Offer()
	if err != nil {
		t.Fatal(err)
	}
	running := []*writer{k.join("aa", offer), k.join("ab", offer)}
	var said []string
	lost := 0
	for n := range *shareRounds {
		k.session(n) // the one that began writes as well
		at := random.IntN(len(running))
		kill := random.IntN(3) > 0
		if kill {
			lost++
		}
		said = append(said, running[at].end(kill)...)
		running[at] = k.join(fmt.Sprintf("b%x", n), offer)
	}
	for _, w := range running {
		said = append(said, w.end(false)...)
	}
	offer.Close()
	// Whoever was killed is soon told of.
	await(t, func() bool { return !k.trail.Shared() })
	ends := k.ends()
	for _, line := range said {
		what, id, _ := strings.Cut(line, " ")
		end, decided := ends[id]
		switch {
		case what == "failed":
			t.Error(line)
		case what == "decided" && !decided, what == "ended" && end != "seen", end == "" && what != "ready":
			t.Errorf("%s: %q", line, end)
		}
	}
	for id, end := range ends {
		if end == "" {
			t.Errorf("session %s has no end", id)
		}
	}
	k.sound()
	if gone := k.number(audit.Query{Event: "gateway stopped", Text: `"lost":true`}); gone != lost {
		t.Errorf("%d gateways were killed, and %d are told of", lost, gone)
	}
	k.session(100)
	k.stopped()
	v := k.sound()
	t.Logf("%d records in %d files, %d sessions", v.Records, v.Files, len(ends))
	if v.Files < 3 || len(ends) < 100 {
		t.Errorf("%+v, and %d sessions: too few to show anything", v, len(ends))
	}
	if left := k.number(audit.Query{Event: "session ended", Text: `"lost":true`}); left > 3*lost {
		t.Errorf("%d sessions were lost", left)
	}
	k.open() // nothing is left to be ended
	k.started()
	k.ends()
	k.sound()
}

func (k *keeping) number(q audit.Query) int {
	k.t.Helper()
	n := 0
	if err := audit.Scan(k.dir, q, func(audit.Record) bool { n++; return true }); err != nil {
		k.t.Fatal(err)
	}
	return n
}

// await waits until something is so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("it is not so")
		}
	}
}

// beside opens the trail once more, as another process would.
func (k *keeping) beside() *keeping {
	k.t.Helper()
	offer, err := k.trail.Offer()
	if err != nil {
		k.t.Fatal(err)
	}
	defer offer.Close()
	other := &keeping{t: k.t, dir: k.dir, o: k.o}
	other.time.Store(k.time.Load())
	for _, f := range offer.Files() {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			k.t.Fatal(err)
		}
		other.o.Offered = append(other.o.Offered, os.NewFile(uintptr(fd), f.Name()))
	}
	other.open()
	other.o.Offered = nil
	k.t.Cleanup(func() { other.trail.Close() })
	return other
}

func (k *keeping) started() {
	k.t.Helper()
	if err := k.trail.GatewayStarted(audit.Start{}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeping) stopped() {
	k.t.Helper()
	if err := errors.Join(k.trail.GatewayStopped("signal"), k.trail.Close()); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeping) decided(session string) {
	k.t.Helper()
	c := from
	c.ID, _, _ = strings.Cut(session, ".")
	if err := k.trail.SessionDecided(c, audit.Decision{Session: session, Verdict: "allow"}); err != nil {
		k.t.Fatal(err)
	}
}

// Three gateways in a row: each session is ended by the one that it is in, or lost when
// that one is killed, at once or at the next start, whoever is left.
func TestSessionsOfGatewaysThatTakeOver(t *testing.T) {
	for name, c := range map[string]struct {
		killed string // which of the three are
		want   map[string]string
	}{
		"none":         {"", map[string]string{"a.1": "seen", "b.1": "seen", "c.1": "seen"}},
		"the first":    {"a", map[string]string{"a.1": "lost", "b.1": "seen", "c.1": "seen"}},
		"the second":   {"b", map[string]string{"a.1": "seen", "b.1": "lost", "c.1": "seen"}},
		"the last":     {"c", map[string]string{"a.1": "seen", "b.1": "seen", "c.1": "lost"}},
		"all but one":  {"ac", map[string]string{"a.1": "lost", "b.1": "seen", "c.1": "lost"}},
		"all together": {"abc", map[string]string{"a.1": "lost", "b.1": "lost", "c.1": "lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := keep(t, func(o *audit.Options) { o.FileSize = 2500 })
			k.session(1)
			k.started()
			k.decided("a.1")
			gateways := map[string]*keeping{"a": k, "b": k.beside()}
			gateways["b"].started()
			gateways["b"].decided("b.1")
			gateways["c"] = gateways["b"].beside()
			gateways["c"].started()
			gateways["c"].decided("c.1")
			for n := range 10 { // some files more
				gateways[string("abc"[n%3])].session(100 + n)
			}
			for name, g := range gateways {
				if strings.Contains(c.killed, name) {
					g.trail.Die()
				}
			}
			for name, g := range gateways {
				if !strings.Contains(c.killed, name) {
					g.ended(name+".1", map[string]string{})
					g.stopped()
				}
			}
			k.sound()
			for range 2 {
				k.open()
				k.started()
				k.session(1000)
				k.trail.Die()
			}
			k.open()
			ends := k.ends()
			for session, end := range c.want {
				if ends[session] != end {
					t.Errorf("%s: %q, want %q", session, ends[session], end)
				}
			}
			k.close()
			k.sound()
		})
	}
}

// The one that is left notices within a moment, and none twice.
func TestGatewayThatIsKilledBesideAnother(t *testing.T) {
	k := keep(t)
	k.started()
	k.decided("a.1")
	next := k.beside()
	next.started()
	next.decided("b.1")
	k.trail.Die()
	await(t, func() bool { return !next.trail.Shared() })
	if ends := next.ends(); ends["a.1"] != "lost" || ends["b.1"] != "" {
		t.Errorf("%v", ends)
	}
	next.ended("b.1", map[string]string{})
	// What it tells readers.
	sessions, err := audit.NewestSessions(k.dir, audit.Query{}, 10)
	if err != nil || len(sessions) != 2 || sessions[0].Ended == nil || sessions[1].Ended == nil || !sessions[1].Ended.Lost {
		t.Errorf("%+v, %v", sessions, err)
	}
	next.stopped()
	next.sound()
}

// A session that outlives the start of the next gateway has its end, to readers too.
func TestReadersOfASharedTrail(t *testing.T) {
	k := keep(t)
	k.started()
	k.decided("c1.1")
	next := k.beside()
	next.started()
	k.ended("c1.1", map[string]string{})
	sessions, err := audit.NewestSessions(k.dir, audit.Query{}, 1)
	if err != nil || len(sessions) != 1 || sessions[0].Ended == nil {
		t.Errorf("%+v, %v", sessions, err)
	}
	records, err := audit.SessionRecords(k.dir, "c1.1")
	if err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
	// What reads behind the newest gateway gets what the other writes.
	tail := next.trail.Tail(0)
	defer tail.Close()
	numbers := func() (all []uint64) {
		for {
			r, err := tail.Next()
			if errors.Is(err, io.EOF) {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r.Number)
		}
	}
	numbers()
	grows := next.trail.Grows()
	k.session(7)
	<-grows
	if got := numbers(); len(got) != 3 {
		t.Errorf("%v", got)
	}
	k.stopped()
	next.stopped()
	next.sound()
}

// Nobody else writes the trail, whatever becomes of its locks.
func TestSharedTrailIsWrittenByNobodyElse(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 2500 })
	next := k.beside()
	refused := func(when string) {
		t.Helper()
		if third, err := audit.Open(k.o); !errors.Is(err, audit.ErrInUse) {
			t.Fatalf("%s: opened: %v", when, errors.Join(err, third.Close()))
		}
	}
	refused("by both")
	for n := range 5 {
		next.session(n)
	}
	k.session(9)
	remove(t, k, "lock")
	refused("without its lock")
	k.close()
	next.session(10)
	refused("without the one that began")
	next.close()
	k.sound()
	k.open()
	k.session(11)
	k.close()
	k.sound()
}

// A trail is shared with nobody who would write another one.
func TestOfferOfAnotherTrail(t *testing.T) {
	k, other := keep(t), keep(t)
	offer, err := k.trail.Offer()
	if err != nil {
		t.Fatal(err)
	}
	defer offer.Close()
	other.close()
	o := other.o
	o.Offered = offer.Files()
	if trail, err := audit.Open(o); err == nil || !strings.Contains(err.Error(), "is not the trail") {
		t.Errorf("opened: %v", errors.Join(err, trail.Close()))
	}
	k.session(1)
	k.close()
	k.sound()
}

// What one leaves in the middle of beginning a file, or of a line, the other gets over.
func TestGatewayThatIsKilledInTheMiddle(t *testing.T) {
	for name, leave := range map[string]func(*keeping){
		"of a line": func(k *keeping) {
			name := filepath.Join(k.dir, k.files()[0])
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				k.t.Fatal(err)
			}
			defer f.Close()
			f.WriteString(`{"level":"in`)
		},
		"of a file": func(k *keeping) {
			v := k.verify()
			name := filepath.Join(k.dir, fmt.Sprintf("%012d.2026-10-18.jsonl", v.Last+1))
			turn := filepath.Join(k.dir, "turn")
			sheet, err := os.ReadFile(turn)
			if err != nil {
				k.t.Fatal(err)
			}
			files, rest, _ := strings.Cut(string(sheet), " ")
			if err := errors.Join(os.WriteFile(turn, []byte("1"+files+" "+rest), 0o600), os.WriteFile(name, nil, 0o600)); err != nil {
				k.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := keep(t)
			k.started()
			next := k.beside()
			next.started()
			next.decided("b.1")
			next.trail.Die()
			leave(next)
			k.session(1)
			await(t, func() bool { return !k.trail.Shared() })
			if ends := k.ends(); ends["b.1"] != "lost" {
				t.Errorf("%v", ends)
			}
			k.stopped()
			v := k.sound()
			if files := k.files(); v.Files != len(files) || !slices.IsSorted(files) {
				t.Errorf("%+v, %q", v, files)
			}
			if _, err := audit.Head(k.dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// A full disk is full for both, what has begun ends with its record in either, and both
// go on when there is room again.
func TestFullDiskOfASharedTrail(t *testing.T) {
	var prints bytes.Buffer
	k := onSmallDisk(t, &prints)
	k.started()
	next := k.beside()
	next.started()
	k.session(1)
	next.session(2)
	ballast := filepath.Join(filepath.Dir(k.dir), "ballast")
	fill(t, ballast)
	for range 3 {
		for _, g := range []*keeping{k, next} {
			g.wait(day)
			refused := false
			for n := 0; n < 1000 && !refused; n++ {
				err := g.trail.SessionDecided(from, audit.Decision{Session: "c1.1", Verdict: "deny", Request: strings.Repeat("x", 4000)})
				if refused = err != nil; refused && !errors.Is(err, unix.ENOSPC) {
					t.Fatal(err)
				}
			}
			if !refused {
				t.Fatal("nothing was refused")
			}
			if err := g.trail.SessionEnded(from, audit.End{Session: "c1.1", Why: "the program ended"}); err != nil {
				t.Fatalf("a session that had begun ends without a record: %v", err)
			}
		}
		k.sound()
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	next.session(3)
	k.session(4)
	k.stopped()
	next.session(5)
	next.stopped()
	k.sound()
}
