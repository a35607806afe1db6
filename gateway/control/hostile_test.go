package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func connect(t *testing.T, folder string, pid int) net.Conn {
	t.Helper()
	f, err := openFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conn, err := dial(f, pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestHostileQuestions holds what is refused, and that the gateway answers the next
// one.
func TestHostileQuestions(t *testing.T) {
	folder := newFolder(t)
	g := newGateway(t, folder, 99)
	post := func(path, body string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(body)
	}
	for name, c := range map[string]struct {
		sent   string
		status int
		says   string
	}{
		"another question":   {post("/shell", "{}"), http.StatusNotFound, "knows no question"},
		"a question below":   {post("/sum/", `{}`), http.StatusNotFound, "knows no question"},
		"a name to escape":   {post("/%1b[2J", `{}`), http.StatusNotFound, `\x1b`},
		"another method":     {"GET /sum HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusMethodNotAllowed, "POST"},
		"no value":           {post("/sum", ""), http.StatusBadRequest, "not understood"},
		"no JSON":            {post("/sum", "A=1"), http.StatusBadRequest, "not understood"},
		"an unknown field":   {post("/sum", `{"A":1,"C":2}`), http.StatusBadRequest, "unknown field"},
		"another kind":       {post("/sum", `{"A":"1"}`), http.StatusBadRequest, "not understood"},
		"two values":         {post("/sum", `{"A":1}{"A":2}`), http.StatusBadRequest, "something follows"},
		"a long value":       {post("/sum", strings.Repeat(" ", maxQuestion+1)+"{}"), http.StatusBadRequest, "too large"},
		"a long header":      {"POST /sum HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge, ""},
		"no HTTP":            {"SSH-2.0-OpenSSH_9.2\r\n\r\n", http.StatusBadRequest, ""},
		"a fault":            {post("/fault", "{}"), http.StatusInternalServerError, "the gateway had a fault"},
		"two questions":      {post("/sum", `{"A":1}`) + post("/sum", `{"A":2}`), http.StatusOK, "1"},
		"many of one length": {"POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, folder, 99)
			go io.WriteString(conn, c.sent) // it may be cut short
			in := bufio.NewReader(conn)
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(response.Body)
			if response.StatusCode != c.status || !strings.Contains(string(text), c.says) || strings.Contains(string(text), "\x1b") {
				t.Errorf("%d, %q", response.StatusCode, text)
			}
			if more, _ := io.ReadAll(in); len(more) > 0 {
				t.Errorf("more follows: %q", more)
			}
		})
	}
	if cause := <-g.panicked; cause != "a fault" {
		t.Errorf("reported is %q", cause)
	}
	if got, err := ask(t, folder, 1, 2); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// chunks is a body in the chunked coding.
func chunks(body string) string {
	if body == "" {
		return "0\r\n\r\n"
	}
	return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
}

// Peers that say nothing take up places, and lose them when their time is over.
func TestSilentPeers(t *testing.T) {
	folder := newFolder(t)
	newGateway(t, folder, 99, func(s *Server) { s.http.ReadTimeout = 100 * time.Millisecond })
	var silent []net.Conn
	for range 2 * maxConnections {
		silent = append(silent, connect(t, folder, 99))
	}
	// One that asks may be too slow for that time itself.
	answered := func() bool {
		got, err := ask(t, folder, 1, 2)
		return err == nil && len(got) == 1
	}
	for deadline := time.Now().Add(patience); !answered(); {
		if time.Now().After(deadline) {
			t.Fatal("nobody is answered")
		}
	}
	for _, conn := range silent {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	}
}

// No more than the bound are served at once; a place that becomes free is given on.
func TestTooManyConnections(t *testing.T) {
	folder := newFolder(t)
	g := newGateway(t, folder, 99)
	var silent []net.Conn
	for range maxConnections {
		silent = append(silent, connect(t, folder, 99))
	}
	for deadline := time.Now().Add(patience); len(g.listener.places) < maxConnections; {
		if time.Now().After(deadline) {
			t.Fatalf("%d are served", len(g.listener.places))
		}
		runtime.Gosched()
	}
	answered := make(chan error)
	go func() {
		_, err := ask(t, folder, 1, 2)
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("it was answered beside %d others: %v", maxConnections, err)
	default:
	}
	silent[0].Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// The end of a gateway does not wait for answers that never come.
func TestCloseWhileAsked(t *testing.T) {
	folder := newFolder(t)
	g := newGateway(t, folder, 99)
	conn := connect(t, folder, 99)
	if _, err := io.WriteString(conn, "POST /ever HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := Ask[int](context.Background(), folder, "ever", struct{}{})
		waiting <- err
	}()
	connect(t, folder, 99) // says nothing
	for deadline := time.Now().Add(patience); len(g.listener.places) < 3 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; err == nil {
		t.Error("it was answered")
	}
}

// Nobody waits for a gateway for longer than they want to.
func TestGatewayThatDoesNotAnswer(t *testing.T) {
	folder := newFolder(t)
	newGateway(t, folder, 99)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := Ask[int](ctx, folder, "ever", struct{}{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ask the gateway 99: it does not answer") {
		t.Errorf("%v", err)
	}
}

// nobody is a user that is neither root nor the gateway's.
const nobody = 65534

// TestStrangersAreDropped connects as another user, whom looser modes let so far, and
// as root to the gateway of another.
func TestStrangersAreDropped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	folder := newFolder(t)
	g := newGateway(t, folder, 99)
	for path := folder; path != "/tmp" && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(folder, "99.sock"), 0o666); err != nil {
		t.Fatal(err)
	}
	conn := as(t, nobody, func() (net.Conn, error) { return net.Dial("unix", filepath.Join(folder, "99.sock")) })
	defer conn.Close()
	io.WriteString(conn, "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}") // it may be closed already
	if text, _ := io.ReadAll(conn); len(text) != 0 {
		t.Errorf("it was answered: %q", text)
	}
	if peer := <-g.refused; peer.UID != nobody || peer.PID != int32(os.Getpid()) {
		t.Errorf("reported is %+v", peer)
	}
}

// as calls a function as another user, in a thread that ends with it.
func as(t *testing.T, uid int, f func() (net.Conn, error)) net.Conn {
	t.Helper()
	var conn net.Conn
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		_, _, failure := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0))
		if failure != 0 {
			done <- failure
			return
		}
		var err error
		conn, err = f()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestRootAsksAGatewayOfAnother holds that root is answered, and that root believes
// only the user that the folder belongs to.
func TestRootAsksAGatewayOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can ask a gateway of another user")
	}
	folder := newFolder(t)
	newGateway(t, folder, 99, func(s *Server) { s.listener.uid = nobody })
	if got, err := ask(t, folder, 1, 2); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.Chown(folder, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, folder, 1, 2); len(got) != 0 || err == nil || !strings.Contains(err.Error(), "uid 0 answers there") {
		t.Errorf("%v, %v", got, err)
	}
}
