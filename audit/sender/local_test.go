package sender

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/audit"
)

// journals is a journald of the test.
type journals struct {
	t    *testing.T
	conn *net.UnixConn
	all  sync.WaitGroup

	mu      sync.Mutex
	entries map[uint64]map[string]string
	sealed  int
}

func newJournals(t *testing.T) (*journals, Destination) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	j := &journals{t: t, conn: conn, entries: map[uint64]map[string]string{}}
	j.all.Go(j.serve)
	t.Cleanup(func() { conn.Close(); j.all.Wait() })
	to, err := journaldAt(socket)
	if err != nil {
		t.Fatal(err)
	}
	return j, to
}

func (j *journals) serve() {
	datagram, oob := make([]byte, 1<<20), make([]byte, 1024)
	for {
		n, control, _, _, err := j.conn.ReadMsgUnix(datagram, oob)
		if err != nil {
			return
		}
		entry := datagram[:n]
		if n == 0 {
			entry = j.file(oob[:control])
		}
		fields := j.fields(entry)
		number, err := strconv.ParseUint(fields["POSTERN_NUMBER"], 10, 64)
		if err != nil {
			j.t.Error(err)
		}
		j.mu.Lock()
		j.entries[number] = fields
		j.mu.Unlock()
	}
}

// file reads an entry that came as a file, which must be sealed, as journald asks.
func (j *journals) file(control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		j.t.Errorf("%d control messages, %v", len(messages), err)
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		j.t.Errorf("%d files, %v", len(fds), err)
		return nil
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	const all = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals != all {
		j.t.Errorf("seals %x, %v", seals, err)
	}
	entry, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		j.t.Error(err)
	}
	j.mu.Lock()
	j.sealed++
	j.mu.Unlock()
	return entry
}

// fields reads an entry of the native protocol.
func (j *journals) fields(entry []byte) map[string]string {
	fields := map[string]string{}
	for len(entry) > 0 {
		key, rest, ok := bytes.Cut(entry, []byte("\n"))
		if !ok || len(rest) < 8 {
			j.t.Errorf("not an entry: %q", entry)
			break
		}
		length := binary.LittleEndian.Uint64(rest)
		if uint64(len(rest)) < 8+length+1 || rest[8+length] != '\n' {
			j.t.Errorf("field %q has a wrong length", key)
			break
		}
		fields[string(key)], entry = string(rest[8:8+length]), rest[8+length+1:]
	}
	return fields
}

func (j *journals) get() map[uint64]map[string]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.entries)
}

func TestJournaldGetsTheWholeTrail(t *testing.T) {
	s := newSending(t)
	j, to := newJournals(t)
	s.start(to)
	s.record(20)
	s.forged()
	// Longer than any datagram may be.
	repositories := make([]audit.Repository, 60)
	for i := range repositories {
		repositories[i].Path = strings.Repeat("p", 4096)
	}
	if err := s.trail.BorgServed(audit.Connection{ID: "c1", Client: "laptop"}, audit.Operations{Session: "c1.1", Repositories: repositories}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	want, got := s.lines(), j.get()
	until(t, "all is there", func() bool { got = j.get(); return len(got) == len(want) })
	names := []string{"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "SYSLOG_FACILITY", "POSTERN_EVENT", "POSTERN_NUMBER", "POSTERN_CLIENT", "POSTERN_SESSION", "POSTERN_RECORD"}
	for number, fields := range got {
		if fields["POSTERN_RECORD"] != want[number] || fields["SYSLOG_IDENTIFIER"] != "postern" || fields["PRIORITY"] == "" || fields["POSTERN_EVENT"] == "" {
			t.Errorf("record %d: %q", number, fields)
		}
		if strings.ContainsFunc(fields["MESSAGE"], func(c rune) bool { return c < ' ' }) {
			t.Errorf("a terminal would be steered by %q", fields["MESSAGE"])
		}
		for name := range fields {
			if !slices.Contains(names, name) {
				t.Errorf("a field was forged: %q", name)
			}
		}
	}
	if j.sealed != 1 {
		t.Errorf("%d entries came as files", j.sealed)
	}
}

func TestHostWithoutJournald(t *testing.T) {
	if _, err := journaldAt(filepath.Join(t.TempDir(), "socket")); err == nil || !strings.Contains(err.Error(), "no journald") {
		t.Errorf("%v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journaldAt(file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("%v", err)
	}
}

func TestJournaldThatGoesAway(t *testing.T) {
	s := newSending(t)
	socket := filepath.Join(t.TempDir(), "socket")
	open := func() *net.UnixConn {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := open()
	to, err := journaldAt(socket)
	if err != nil {
		t.Fatal(err)
	}
	s.start(to)
	first.Close()
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	s.record(1)
	until(t, "the failure is recorded", func() bool { return len(s.events("sending failed")) == 1 })
	j := &journals{t: t, conn: open(), entries: map[uint64]map[string]string{}}
	j.all.Go(j.serve)
	until(t, "its end is recorded", func() bool { return len(s.events("sending resumed")) == 1 })
	s.stop()
	j.conn.Close()
	j.all.Wait()
}

// output is a standard output that fails when it is told to.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	fail bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail {
		n, _ := o.text.Write(p[:len(p)/2])
		return n, errors.New("no space left on device")
	}
	return o.text.Write(p)
}

func (o *output) failing(fail bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = fail
}

func TestStdoutGetsALineForEachRecord(t *testing.T) {
	s := newSending(t)
	var out output
	s.start(Stdout(&out))
	s.record(10)
	s.forged()
	out.failing(true)
	s.record(1)
	until(t, "the failure is recorded", func() bool { return len(s.events("sending failed")) == 1 })
	out.failing(false)
	until(t, "its end is recorded", func() bool { return len(s.events("sending resumed")) == 1 })
	s.stop()
	whole := map[string]bool{}
	for line := range strings.Lines(out.text.String()) {
		whole[strings.TrimSuffix(line, "\n")] = true
	}
	for number, line := range s.lines() {
		if !whole[line] {
			t.Errorf("record %d is no line of its own: %s", number, line)
		}
	}
}

// late is a standard output that cannot be opened the first times.
type late struct {
	stdout
	opens atomic.Int32
}

func (l *late) open(ctx context.Context, p pace, from uint64) (way, error) {
	if l.opens.Add(1) < 6 {
		return nil, errors.New("not yet")
	}
	return l.stdout.open(ctx, p, from)
}

// A failure is one record however often it is met, and so is its end.
func TestFailureIsRecordedOnce(t *testing.T) {
	s := newSending(t)
	to := late{stdout: stdout{to: io.Discard}}
	s.start(&to)
	s.record(3)
	until(t, "its end is recorded", func() bool { return len(s.events("sending resumed")) > 0 })
	s.stop()
	if failed, resumed := len(s.events("sending failed")), len(s.events("sending resumed")); failed != 1 || resumed != 1 {
		t.Errorf("%d records of a failure and %d of its end", failed, resumed)
	}
}

// Who does not read standard output holds up neither the trail nor, for long, the
// end.
func TestStdoutThatNobodyReads(t *testing.T) {
	s := newSending(t)
	s.pace.flush = 50 * time.Millisecond
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.start(Stdout(write))
	s.record(1000) // more than a pipe holds
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	read.Close()
	write.Close()
}
