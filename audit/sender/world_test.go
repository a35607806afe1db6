package sender

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is a pace for tests: what takes minutes otherwise takes parts of a second.
var quick = pace{least: 10 * time.Millisecond, most: 50 * time.Millisecond, settle: 50 * time.Millisecond, patience: time.Second, flush: 5 * time.Second}

const patience = 30 * time.Second

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// sending is a trail that is sent elsewhere.
type sending struct {
	t      *testing.T
	dir    string
	pace   pace
	o      audit.Options
	trail  *audit.Trail
	sender *Sender
}

func newSending(t *testing.T, change ...func(*audit.Options)) *sending {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	s := &sending{t: t, dir: dir, pace: quick, o: audit.Options{Dir: dir, Prints: io.Discard, Now: time.Now}}
	for _, c := range change {
		c(&s.o)
	}
	s.open()
	return s
}

func (s *sending) open() {
	s.t.Helper()
	trail, err := audit.Open(s.o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.trail = trail
	s.t.Cleanup(func() { trail.Close() })
}

func (s *sending) start(to ...Destination) {
	s.t.Helper()
	sender, err := start(s.trail, s.dir, s.pace, to...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sender = sender
	s.t.Cleanup(s.stop)
}

func (s *sending) stop() {
	if s.sender != nil {
		s.sender.Stop()
		s.sender = nil
	}
}

// restart ends the gateway's part and begins it anew.
func (s *sending) restart() {
	s.t.Helper()
	s.stop()
	if err := s.trail.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.open()
}

// record writes n records.
func (s *sending) record(n int) {
	s.t.Helper()
	for i := range n {
		if err := s.trail.ConnectionEnded(audit.Connection{ID: strconv.Itoa(i), Client: "laptop", Address: "192.0.2.7:50001"}, time.Second, i, "left"); err != nil {
			s.t.Fatal(err)
		}
	}
}

// lines are the records of the trail by their numbers.
func (s *sending) lines() map[uint64]string {
	s.t.Helper()
	all := map[uint64]string{}
	if err := audit.Scan(s.dir, audit.Query{}, func(r audit.Record) bool { all[r.Number] = string(r.Line); return true }); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// events counts the records of one kind.
func (s *sending) events(name string) (found []map[string]any) {
	s.t.Helper()
	err := audit.Scan(s.dir, audit.Query{Event: name}, func(r audit.Record) bool {
		var fields map[string]any
		if err := json.Unmarshal(r.Line, &fields); err != nil {
			s.t.Error(err)
		}
		found = append(found, fields)
		return true
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// arrives waits until a receiver has the trail, from a number on, and holds what it
// has against it.
func (s *sending) arrives(r *receiver, from uint64) {
	s.t.Helper()
	want := s.lines()
	until(s.t, "all records are there", func() bool {
		for number := range want {
			if number >= from && !r.has(number) {
				return false
			}
		}
		return true
	})
	for number, line := range r.lines() {
		if kept, ok := want[number]; ok && kept != line {
			s.t.Errorf("record %d arrived as\n%s, and is\n%s", number, line, kept)
		}
	}
}

// receiver is a syslog server.
type receiver struct {
	t        *testing.T
	address  string
	tls      *tls.Config
	listener net.Listener
	all      sync.WaitGroup

	mu       sync.Mutex
	messages []string
	records  map[uint64]string
	conns    map[net.Conn]bool
}

// receive starts a syslog server, at a free address where none is given.
func receive(t *testing.T, address string, config *tls.Config) *receiver {
	t.Helper()
	r := &receiver{t: t, address: address, tls: config, records: map[uint64]string{}, conns: map[net.Conn]bool{}}
	r.listen()
	t.Cleanup(r.die)
	return r
}

func (r *receiver) listen() {
	r.t.Helper()
	if r.address == "" {
		r.address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.listener, r.address = l, l.Addr().String()
	r.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns[conn] = true
			r.mu.Unlock()
			if r.tls != nil {
				conn = tls.Server(conn, r.tls)
			}
			r.all.Go(func() { r.serve(conn) })
		}
	})
}

// die closes what is open, as a server does that is killed.
func (r *receiver) die() {
	r.listener.Close()
	r.mu.Lock()
	for conn := range r.conns {
		conn.Close()
	}
	clear(r.conns)
	r.mu.Unlock()
	r.all.Wait()
}

func (r *receiver) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewReader(conn)
	for {
		message, err := readFrame(lines)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && strings.Contains(err.Error(), "frame") {
				r.t.Error(err)
			}
			return
		}
		r.take(message)
	}
}

// readFrame reads a message with its length before it.
func readFrame(r *bufio.Reader) (string, error) {
	digits, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	length, err := strconv.Atoi(strings.TrimSuffix(digits, " "))
	if err != nil || length <= 0 || digits[0] == '0' {
		return "", fmt.Errorf("a frame begins with %q", digits)
	}
	text := make([]byte, length)
	_, err = io.ReadFull(r, text)
	return string(text), err
}

// take keeps a message.
func (r *receiver) take(message string) {
	_, line, ok := strings.Cut(message, " - {")
	var record struct{ Number uint64 }
	if line = "{" + line; !ok || json.Unmarshal([]byte(line), &record) != nil {
		r.t.Errorf("no record: %q", message)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, message)
	r.records[record.Number] = line
}

func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// lines are the records that arrived, by their numbers.
func (r *receiver) lines() map[uint64]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.records)
}

func (r *receiver) has(number uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[number] != ""
}

func (r *receiver) numbers() []uint64 { return slices.Sorted(maps.Keys(r.lines())) }

func tcp(t *testing.T, r *receiver) Destination { return server(t, Syslog{Address: r.address}) }

func server(t *testing.T, s Syslog) Destination {
	t.Helper()
	d, err := s.Destination()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// receiveNothing accepts connections and reads none of them.
func receiveNothing(t *testing.T, address string) (end func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var conns []net.Conn
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	})
	return func() {
		l.Close()
		all.Wait()
		for _, conn := range conns {
			conn.Close()
		}
	}
}
