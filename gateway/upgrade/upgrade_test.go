package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// partVerb makes the test binary a new gateway, which does as the word behind it says.
const partVerb = "take-over-as"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == partVerb {
		os.Exit(play(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// play is what the new process does.
func play(part string) int {
	value := os.Getenv(Variable)
	p, err := Called(value)
	if err != nil || p == nil {
		fmt.Fprintln(os.Stderr, err)
		return 9
	}
	switch part {
	case "ends":
		return 3
	case "waits":
		io.Copy(io.Discard, os.Stdin)
		<-p.Gone()
		return 0
	case "refuses":
		p.Fail(errors.New("a file is no good"))
		return 1
	case "hurries":
		return code(p.Ready())
	}
	e, err := p.Estate()
	if err != nil {
		return 4
	}
	if part == "gives up" {
		p.Fail(errors.New("the trail is full"))
		return 1
	}
	l, err := net.FileListener(e.Sockets[0].File)
	if err != nil || e.Sockets[0].Asked != ":2222" || len(e.Trail) != 2 || len(e.Older) != 1 {
		return 5
	}
	older, err := Inherit(e.Older[0])
	if err != nil || p.Ready() != nil {
		return 6
	}
	conn, err := l.Accept()
	if err != nil {
		return 7
	}
	// In the environment of what it would start there is nothing of this.
	fmt.Fprintf(conn, "served by %d", os.Getpid())
	conn.Close()
	older.Stop()
	p.Stop()
	<-p.Gone()
	return 0
}

func code(err error) int {
	if err != nil {
		return 8
	}
	return 0
}

func start(t *testing.T, part string) *Successor {
	t.Helper()
	s, err := Start(os.Args[0], []string{os.Args[0], partVerb, part}, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// estate is one with a socket, two files and an older gateway, whose end of the line is
// returned.
func testEstate(t *testing.T) (*Estate, net.Listener, line) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	mine, theirs := pair(t)
	return &Estate{Sockets: []Socket{{Asked: ":2222", Name: l.Addr().String(), File: socket}}, Trail: []*os.File{os.Stdin, os.Stdin}, Older: []*os.File{theirs}}, l, mine
}

func TestTakeOver(t *testing.T) {
	e, l, older := testEstate(t)
	s := start(t, "takes over")
	if err := errors.Join(s.Prepared(t.Context()), s.Bequeath(t.Context(), e)); err != nil {
		t.Fatal(err)
	}
	l.Close() // the socket is open in the new one
	conn, err := net.Dial("tcp", e.Sockets[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil || string(text) != fmt.Sprintf("served by %d", s.PID()) {
		t.Errorf("%q, %v", text, err)
	}
	if order := s.Next(); order != Stop {
		t.Errorf("order %v", order)
	}
	if p, err := older.receive(); err != nil || p.Kind != stop {
		t.Errorf("the older one got %v, %v", p, err)
	}
	s.Close()
	<-s.ended
	if s.how.ExitCode() != 0 {
		t.Error(s.how)
	}
}

// Whatever the new one does instead, the old one learns why, and nothing of it is left.
func TestNoTakeOver(t *testing.T) {
	for part, why := range map[string]string{
		"ends": "it ended before it was ready: exit status 3", "refuses": "a file is no good", "hurries": `it says "ready"`,
		"gives up": "the trail is full", "waits": "it was not prepared: too slow",
	} {
		t.Run(part, func(t *testing.T) {
			e, _, _ := testEstate(t)
			s := start(t, part)
			patience := 20 * time.Second
			if part == "waits" {
				patience = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("too slow"))
			defer cancel()
			err := s.Prepared(ctx)
			if err == nil {
				err = s.Bequeath(ctx, e)
			}
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%v; want %q", err, why)
			}
			s.Abandon()
			if s.how == nil {
				t.Error("it is still there")
			}
		})
	}
}

// pair is a line, and the other end of it.
func pair(t *testing.T) (line, *os.File) {
	t.Helper()
	mine, theirs, err := ends()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mine.Close(); theirs.Close() })
	return mine, theirs
}

// The variable alone makes nobody a successor.
func TestCalledByNobody(t *testing.T) {
	if p, err := Called(""); p != nil || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	for _, value := range []string{"4", "0", "x", " 3"} {
		if p, err := Called(value); p != nil || err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%q: %v, %v", value, p, err)
		}
	}
}

// What names this process alone is not passed on.
func TestEnvironment(t *testing.T) {
	got := inherited([]string{"A=1", "WATCHDOG_PID=7", "LISTEN_FDS=2", "LISTEN_PID=7", "NOTIFY_SOCKET=/x", Variable + "=3", "WATCHDOG_USEC=5"})
	if strings.Join(got, " ") != "A=1 NOTIFY_SOCKET=/x WATCHDOG_USEC=5" {
		t.Errorf("%q", got)
	}
}
