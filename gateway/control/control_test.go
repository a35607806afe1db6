package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// sum is a question, and ever one whose answer never comes.
type sum struct{ A, B int }

func questions() []Question {
	return []Question{
		On("sum", func(_ context.Context, s sum) (int, error) {
			if s.B < 0 {
				return 0, errors.New("no\x1b[2J")
			}
			return s.A + s.B, nil
		}),
		On("ever", func(ctx context.Context, _ struct{}) (int, error) {
			<-ctx.Done()
			return 0, errors.New("it ends")
		}),
		On("fault", func(context.Context, struct{}) (int, error) { panic("a fault") }),
	}
}

// gateway is one that listens under a process number.
type gateway struct {
	*Server
	refused  chan Peer
	panicked chan string
}

func newGateway(t *testing.T, folder string, pid int, change ...func(*Server)) *gateway {
	t.Helper()
	g := &gateway{refused: make(chan Peer, 10), panicked: make(chan string, 10)}
	release, err := Hold(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	l, err := listen(folder, pid, func(p Peer) { g.refused <- p })
	if err != nil {
		t.Fatal(err)
	}
	g.Server = newServer(l, Config{Questions: questions(), Panicked: func(cause, _ string) { g.panicked <- cause }})
	for _, c := range change {
		c(g.Server)
	}
	g.start()
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func newFolder(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "control")
}

func ask(t *testing.T, folder string, a, b int) ([]Reply[int], error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return Ask[int](ctx, folder, "sum", sum{a, b})
}

func TestEveryGatewayIsAsked(t *testing.T) {
	folder := newFolder(t)
	if _, err := ask(t, folder, 1, 2); !errors.Is(err, ErrNone) {
		t.Errorf("without a folder: %v", err)
	}
	older, newer := newGateway(t, folder, 99), newGateway(t, folder, 1234)
	got, err := ask(t, folder, 1, 2)
	if err != nil || len(got) != 2 || got[0] != (Reply[int]{99, 3}) || got[1] != (Reply[int]{1234, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	for name, mode := range map[string]os.FileMode{".": 0o700, "99.sock": 0o600} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := older.Close(); err != nil {
		t.Error(err)
	}
	if got, err := ask(t, folder, 1, 2); err != nil || len(got) != 1 || got[0].PID != 1234 {
		t.Errorf("%v, %v", got, err)
	}
	if err := newer.Close(); err != nil {
		t.Error(err)
	}
	if _, err := ask(t, folder, 1, 2); !errors.Is(err, ErrNone) {
		t.Errorf("after their ends: %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A gateway that refuses keeps nobody from the answer of another, and its words steer
// no terminal.
func TestRefusalOfOne(t *testing.T) {
	folder := newFolder(t)
	newGateway(t, folder, 99)
	if _, err := ask(t, folder, 1, -1); err == nil || err.Error() != "ask the gateway 99: no\uFFFD[2J" {
		t.Errorf("%v", err)
	}
	newGateway(t, folder, 1234, func(s *Server) { s.config.Questions = nil })
	got, err := ask(t, folder, 1, 2)
	if len(got) != 1 || got[0].PID != 99 || err == nil || !strings.Contains(err.Error(), "ask the gateway 1234: this gateway knows no question") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestLongPath(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(long, "control")
	newGateway(t, folder, 99)
	if got, err := ask(t, folder, 1, 2); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// What a gateway left that was killed is removed by the next one. What answers is not,
// nor what could answer, nor what is no socket of a gateway.
func TestStaleSockets(t *testing.T) {
	folder := newFolder(t)
	newGateway(t, folder, 99)
	stale := newGateway(t, folder, 1234)
	path := filepath.Join(folder, "1234.sock")
	if err := os.Link(path, path+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stale.Close(), os.Rename(path+".kept", path)); err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, folder, 1, 2); err != nil || len(got) != 1 || got[0].PID != 99 {
		t.Errorf("%v, %v", got, err)
	}
	busy := neverAccepts(t, folder, "77.sock")
	for _, name := range []string{"0.sock", "notes", "12.sock.bak"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newGateway(t, folder, 1234) // also where the number is the same
	for _, name := range []string{"99.sock", "77.sock", "1234.sock", "0.sock", "notes", "12.sock.bak"} {
		if _, err := os.Lstat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
	busy()
	newGateway(t, folder, 5)
	if _, err := os.Lstat(filepath.Join(folder, "77.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if got, err := ask(t, folder, 1, 2); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

// neverAccepts listens as a gateway does that hangs, with no more room for those who
// connect.
func neverAccepts(t *testing.T, folder, name string) (end func()) {
	t.Helper()
	f, err := openFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	socket := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	address := &unix.SockaddrUnix{Name: inside(f, name)}
	fds := []int{socket()}
	if err := errors.Join(unix.Bind(fds[0], address), unix.Listen(fds[0], 0)); err != nil {
		t.Fatal(err)
	}
	for err = nil; !errors.Is(err, unix.EAGAIN); {
		fds = append(fds, socket())
		if err = unix.Connect(fds[len(fds)-1], address); err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
	}
	end = func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
		fds = nil
	}
	t.Cleanup(end)
	return end
}

// Of two that begin at once under one number, the second does not take the first one's
// place.
func TestNumberInUse(t *testing.T) {
	folder := newFolder(t)
	newGateway(t, folder, 99)
	if _, err := listen(folder, 99, nil); err == nil || !strings.Contains(err.Error(), "a gateway of that process number answers there") {
		t.Errorf("%v", err)
	}
	if got, err := ask(t, folder, 1, 2); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestGone(t *testing.T) {
	folder := newFolder(t)
	g := newGateway(t, folder, 99)
	if g.Gone() {
		t.Error("gone from the start")
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if !g.Gone() {
		t.Error("not gone when it was removed")
	}
	newGateway(t, folder, 99)
	if !g.Gone() {
		t.Error("another one is there, and it is not gone")
	}
}

func TestHold(t *testing.T) {
	folder := newFolder(t)
	release, err := Hold(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Hold(ctx, folder); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "another process holds "+folder) {
		t.Errorf("%v", err)
	}
	held := make(chan error)
	go func() {
		release, err := Hold(t.Context(), folder)
		if err == nil {
			release()
		}
		held <- err
	}()
	release()
	if err := <-held; err != nil {
		t.Error(err)
	}
}

// TestFolderOfOthers holds that nothing is put into, or asked for in, a folder that
// somebody else had a hand in.
func TestFolderOfOthers(t *testing.T) {
	folder, elsewhere := newFolder(t), t.TempDir()
	if err := os.Symlink(elsewhere, folder); err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "is no folder") {
		t.Errorf("%v", err)
	}
	if _, err := ask(t, folder, 1, 2); err == nil || !strings.Contains(err.Error(), "is no folder") {
		t.Errorf("%v", err)
	}
	if err := errors.Join(os.Remove(folder), os.Mkdir(folder, 0o700), os.Chmod(folder, 0o750)); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(folder, 99, nil); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("%v", err)
	}
	for _, looked := range []string{folder, elsewhere} {
		if left, err := os.ReadDir(looked); err != nil || len(left) != 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	}
}
