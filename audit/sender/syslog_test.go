package sender

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// header is what RFC 5424 asks of a message of ours.
var header = regexp.MustCompile(`^<(8[3-7])>1 [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z [!-~]{1,255} postern - [!-~]{1,32} - \{"level":.*\}$`)

// forged are records with what could end a frame, a line or a field.
func (s *sending) forged() {
	s.t.Helper()
	for _, text := range []string{
		"a\nb", "5 <80>1 - - - - - -", "\x00\xff\xfe\x80", "\r\n\x1b[2J", `"} - {"level":"error"}`, strings.Repeat("\u2028\x01", 3000), "\ufeff",
	} {
		c := audit.Connection{ID: "c1", Address: "192.0.2.7:50001", Login: text, Software: text, Client: text}
		if err := s.trail.ConnectionRefused(c, text); err != nil {
			s.t.Fatal(err)
		}
		if err := s.trail.SessionDecided(c, audit.Decision{Session: "c1.1", Request: text, Arguments: []string{text, text}, Verdict: "deny", Why: text}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestSyslogGetsTheWholeTrail(t *testing.T) {
	s := newSending(t, func(o *audit.Options) { o.FileSize = 20_000 })
	r := receive(t, "", nil)
	s.start(tcp(t, r))
	s.record(100)
	s.forged()
	s.arrives(r, 1)
	for _, message := range r.received() {
		if !header.MatchString(message) {
			t.Errorf("no message of RFC 5424: %q", message)
		}
	}
	if n := len(r.received()); n != len(s.lines()) {
		t.Errorf("%d messages of %d records", n, len(s.lines()))
	}
	// What was just recorded does not wait for anything.
	before := len(r.received())
	at := time.Now()
	s.record(1)
	until(t, "one more is there", func() bool { return len(r.received()) > before })
	t.Logf("one record took %s", time.Since(at))
}

// A record's time, level and event are those of the message.
func TestMessageSaysWhatTheRecordSays(t *testing.T) {
	at := time.Date(2026, 10, 18, 1, 4, 5, 60e6, time.UTC)
	for _, test := range []struct {
		record audit.Record
		want   string
	}{
		{audit.Record{Level: "warn", Time: at, Event: "session decided", Line: []byte("{}")}, "60 <84>1 2026-10-18T01:04:05.060Z nas postern - session_decided - {}"},
		{audit.Record{Level: "debug", Time: at, Event: "checkpoint", Line: []byte("{}")}, "55 <87>1 2026-10-18T01:04:05.060Z nas postern - checkpoint - {}"},
		{audit.Record{Level: "error", Event: strings.Repeat("é ", 30), Line: []byte("{}")}, "54 <83>1 - nas postern - " + strings.Repeat("_", 32) + " - {}"},
		{audit.Record{Line: []byte("{}")}, "23 <83>1 - nas postern - - - {}"},
	} {
		got := string(frame("nas", test.record))
		length, text, _ := strings.Cut(got, " ")
		_, want, _ := strings.Cut(test.want, " ")
		if text != want || length != strconv.Itoa(len(want)) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestServerThatIsAwayAtTheStart(t *testing.T) {
	s := newSending(t)
	r := receive(t, "", nil)
	r.die()
	s.start(tcp(t, r))
	s.record(10)
	until(t, "the failure is recorded", func() bool { return len(s.events("sending failed")) == 1 })
	s.record(10)
	failed := s.events("sending failed")[0]
	if why, _ := failed["why"].(string); !strings.Contains(why, "connection refused") || failed["destination"] != "tcp://"+r.address || failed["next"] != 1.0 {
		t.Errorf("%v", failed)
	}
	r.listen()
	until(t, "the end of it is recorded", func() bool { return len(s.events("sending resumed")) == 1 })
	s.arrives(r, 1)
	if n := len(s.events("sending failed")); n != 1 {
		t.Errorf("%d records of one failure", n)
	}
}

func TestServerThatDiesAgainAndAgain(t *testing.T) {
	s := newSending(t)
	r := receive(t, "", nil)
	s.start(tcp(t, r))
	for range 5 {
		before := len(r.received())
		s.record(50)
		until(t, "some are there", func() bool { return len(r.received()) > before })
		r.die()
		s.record(50)
		r.listen()
	}
	s.arrives(r, 1)
}

// A server that accepts and reads nothing holds up nobody, fills no memory, and gets
// everything once it reads.
func TestServerThatHangs(t *testing.T) {
	s := newSending(t)
	s.pace.patience = 300 * time.Millisecond
	r := receive(t, "", nil)
	hang := r.hang()
	s.start(tcp(t, r))
	text := strings.Repeat("x", 4000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	const records = 1500
	for range records {
		if err := s.trail.ConnectionEnded(audit.Connection{ID: "c", Software: text, Login: text}, 0, 0, text); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d records in %s", records, time.Since(began))
	until(t, "the failure is recorded", func() bool { return len(s.events("sending failed")) == 1 })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("memory grew by %d MiB while nobody took the records", grown>>20)
	}
	hang()
	r.listen()
	s.arrives(r, 1)
}

// hang makes the server one that accepts and does nothing, until what it returns is
// called; then nobody listens.
func (r *receiver) hang() (end func()) {
	r.listener.Close()
	r.all.Wait()
	hanging := receiveNothing(r.t, r.address)
	return hanging
}

// The end waits for a server that hangs, but not long.
func TestStopIsBounded(t *testing.T) {
	s := newSending(t)
	s.pace.patience, s.pace.flush = patience, 100*time.Millisecond
	r := receive(t, "", nil)
	end := r.hang()
	defer end()
	s.start(tcp(t, r))
	s.record(100)
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestRestartGoesOn(t *testing.T) {
	s := newSending(t)
	s.record(10) // before anybody asked for it
	s.restart()
	first := s.trail.Began()
	r := receive(t, "", nil)
	s.start(tcp(t, r))
	s.record(20)
	s.restart()
	s.record(20) // recorded before the sender is back
	s.start(tcp(t, r))
	s.record(20)
	s.arrives(r, first)
	numbers := r.numbers()
	if numbers[0] != first || len(r.received()) != len(numbers) {
		t.Errorf("%d messages of %d records, from %d on, want from %d on", len(r.received()), len(numbers), numbers[0], first)
	}
}

// What is no longer kept when the server comes back is told.
func TestWhatIsNoLongerKeptIsTold(t *testing.T) {
	s := newSending(t, func(o *audit.Options) { o.FileSize, o.Keep = 5000, audit.Keep{Size: 3000} })
	r := receive(t, "", nil)
	s.start(tcp(t, r))
	s.record(5)
	s.restart()
	r.die()
	s.start(tcp(t, r))
	s.record(300)
	s.restart() // which waits for what the keeper does
	had := uint64(len(r.numbers()))
	r.listen()
	s.start(tcp(t, r))
	until(t, "what is missing is told", func() bool { return len(s.events("sending skipped")) > 0 })
	skipped := s.events("sending skipped")[0]
	first, records := uint64(skipped["first"].(float64)), uint64(skipped["records"].(float64))
	s.arrives(r, first+records)
	missing := 0
	for number := first; number < first+records; number++ {
		if _, ok := r.lines()[number]; !ok {
			missing++
		}
	}
	if first != had+1 || missing != int(records) || len(s.events("sending skipped")) != 1 {
		t.Errorf("%v, %d were sent before", skipped, had)
	}
}

// Numbers that a power cut took back are given anew, and sent.
func TestPositionBeyondTheTrail(t *testing.T) {
	s := newSending(t)
	s.record(10)
	s.restart()
	r := receive(t, "", nil)
	to := tcp(t, r)
	place, err := openPosition(s.dir, to.String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	place.number = 1_000_000
	place.save()
	s.start(to)
	s.record(10)
	s.arrives(r, s.trail.Began())
}

func TestPositionThatSaysNothing(t *testing.T) {
	s := newSending(t)
	if err := os.WriteFile(filepath.Join(s.dir, "sent.stdout"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(s.trail, s.dir, Stdout(os.Stdout)); err == nil || !strings.Contains(err.Error(), "sent.stdout") || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("%v", err)
	}
}

// A position that cannot be written now, as on a full disk, is written later.
func TestPositionThatCannotBeWrittenYet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	place, err := openPosition(dir, "stdout", 8)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	place.save()
	if again, err := openPosition(dir, "stdout", 100); err != nil || again.number != 7 {
		t.Errorf("%+v, %v", again, err)
	}
}
