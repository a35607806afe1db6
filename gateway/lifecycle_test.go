package gateway_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestSessionRunsWhatIsAllowed(t *testing.T) {
	w := serve(t, script(t, `echo "$@"; pwd; umask; env; echo said >&2; exit 23`))
	out, complaints, status := w.run(w.client(), w.push())
	if status != 23 || complaints != "said\n" {
		t.Errorf("status %d, stderr %q", status, complaints)
	}
	for _, want := range []string{"--server", w.data + "\n", "HOME=/nonexistent"} {
		if !strings.Contains(out, want) {
			t.Errorf("the child's output lacks %q: %q", want, out)
		}
	}
	for _, leaked := range []string{"SSH_", "LD_", "GO"} {
		if strings.Contains(out, leaked) {
			t.Errorf("the child's environment has %s: %q", leaked, out)
		}
	}
	w.stop()
	decided, ended, accepted := w.wait("session decided"), w.wait("session ended"), w.wait("connection accepted")
	if decided["verdict"] != "allow" || decided["request"] != w.push() || decided["client"] != "laptop" || decided["login"] != "backup" ||
		decided["key"] != ssh.FingerprintSHA256(w.key.PublicKey()) || fmt.Sprint(decided["rules"]) != "[laptop.yaml:3]" || decided["args"] == nil {
		t.Errorf("decided: %v", decided)
	}
	if ended["status"] != 23. || ended["session"] != decided["session"] || ended["why"] != "the program ended" || ended["err"] != 5. {
		t.Errorf("ended: %v", ended)
	}
	if accepted["connection"] != decided["connection"] || w.wait("connection ended")["sessions"] != 1. {
		t.Errorf("accepted: %v", accepted)
	}
}

func TestBinaryDataBothWays(t *testing.T) {
	w := serve(t, script(t, `cat`))
	data := make([]byte, 10<<20)
	rand.Read(data)
	s := w.session()
	s.Stdin = bytes.NewReader(data)
	sum := sha256.New()
	s.Stdout = sum
	if status := exitStatus(t, s.Run(w.push())); status != 0 || !bytes.Equal(sum.Sum(nil), sha256Of(data)) {
		t.Errorf("status %d, or the data came back changed", status)
	}
	w.stop()
	if ended := w.wait("session ended"); ended["in"] != float64(len(data)) || ended["out"] != float64(len(data)) {
		t.Errorf("counted %v and %v bytes of %d", ended["in"], ended["out"], len(data))
	}
}

func sha256Of(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

func TestOutputAndStatusAfterTheEndOfInput(t *testing.T) {
	w := serve(t, script(t, `cat > /dev/null; head -c 3000000 /dev/zero; echo last >&2; exit 4`))
	out, complaints, status := w.run(w.client(), w.push())
	if len(out) != 3_000_000 || complaints != "last\n" || status != 4 {
		t.Errorf("%d bytes, %q, status %d", len(out), complaints, status)
	}
}

// The client keeps its side open, as `ssh host command` with a terminal does.
func TestChildThatEndsFirst(t *testing.T) {
	w := serve(t, script(t, `echo done; exit 3`))
	s := w.session()
	stdin, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := s.Output(w.push())
	if string(out) != "done\n" || exitStatus(t, err) != 3 {
		t.Errorf("%q, %v", out, err)
	}
}

// The child takes none of the data that the client insists on sending first.
func TestChildThatClosesItsInput(t *testing.T) {
	gate := newGate(t)
	w := serve(t, script(t, `exec < /dev/null; echo started; read x < `+gate.path+`; exit 5`))
	s := w.session()
	s.Stdin = io.LimitReader(zeros{}, 20<<20)
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	readLine(t, out)
	gate.open()
	if status := exitStatus(t, s.Wait()); status != 5 {
		t.Errorf("status %d", status)
	}
}

func TestChildThatIgnoresTheEndOfInput(t *testing.T) {
	gate := newGate(t)
	w := serve(t, script(t, `echo started; read x < `+gate.path+`; echo more; exit 6`))
	s := w.session()
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("")
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	readLine(t, out)
	gate.open()
	if got := readLine(t, out); got != "more\n" {
		t.Errorf("got %q after the end of input", got)
	}
	if status := exitStatus(t, s.Wait()); status != 6 {
		t.Errorf("status %d", status)
	}
}

// A daemon that the child left behind keeps its output open.
func TestGrandchildThatHoldsTheOutput(t *testing.T) {
	w := serve(t, script(t, `sleep 600 & echo $!; exit 7`))
	out, _, status := w.run(w.client(), w.push())
	var pid int
	if _, err := fmt.Sscan(out, &pid); err != nil || status != 7 {
		t.Fatalf("%q, status %d", out, status)
	}
	waitGone(t, pid)
}

// One that left the group, too, does not hold the session up.
func TestGrandchildOfAnotherGroup(t *testing.T) {
	w := serve(t, script(t, `setsid sleep 5 & exit 8`))
	if _, _, status := w.run(w.client(), w.push()); status != 8 {
		t.Errorf("status %d", status)
	}
}

func TestStatusOfSignalsAnd255(t *testing.T) {
	for lines, want := range map[string]int{
		`kill -TERM $$`: 143,
		`kill -KILL $$`: 137,
		`exit 255`:      254,
		`exit 254`:      254,
		`exit 1`:        1,
	} {
		w := serve(t, script(t, lines))
		if _, _, status := w.run(w.client(), w.push()); status != want {
			t.Errorf("%s: status %d, want %d", lines, status, want)
		}
	}
}

// stubborn prints its own number and that of its child, and neither ends by
// itself, by the end of input, or by TERM.
const stubborn = `trap "" TERM HUP PIPE
sh -c 'trap "" TERM HUP PIPE; while :; do sleep 60; done' &
echo $$ $!
while :; do sleep 60; done`

// startStubborn starts one and returns the numbers.
func startStubborn(t *testing.T, w *world, s *ssh.Session) (child, grandchild int) {
	t.Helper()
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(readLine(t, out), &child, &grandchild); err != nil {
		t.Fatal(err)
	}
	return child, grandchild
}

func TestWholeGroupEndsWithTheClient(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(*world, *ssh.Client, *ssh.Session)
		why   string
	}{
		"channel closed":     {func(_ *world, _ *ssh.Client, s *ssh.Session) { s.Close() }, "the client closed the channel"},
		"connection closed":  {func(_ *world, c *ssh.Client, _ *ssh.Session) { c.Close() }, "the connection was lost"},
		"gateway is stopped": {func(w *world, _ *ssh.Client, _ *ssh.Session) { w.stop() }, "the gateway stops"},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, script(t, stubborn))
			client := w.client()
			s := newSession(t, client)
			child, grandchild := startStubborn(t, w, s)
			c.leave(w, client, s)
			ended := w.wait("session ended")
			if ended["why"] != c.why || ended["signal"] != "killed" {
				t.Errorf("recorded %v", ended)
			}
			waitGone(t, child)
			waitGone(t, grandchild)
		})
	}
}

// A child that ends itself when its input ends, as borg does to release its
// locks, is not signalled.
func TestChildMayEndByItself(t *testing.T) {
	w := serve(t, script(t, `echo started; cat > /dev/null; exit 9`), func(w *world, _ *clients) { w.config.KillGrace = patience })
	client := w.client()
	s := newSession(t, client)
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(w.push()); err != nil {
		t.Fatal(err)
	}
	readLine(t, out)
	client.Close()
	if ended := w.wait("session ended"); ended["status"] != 9. || ended["signal"] != nil {
		t.Errorf("recorded %v", ended)
	}
}

// H27: a flood of messages, to a client that reads none of them and leaves.
func TestFloodToAClientThatDoesNotRead(t *testing.T) {
	w := serve(t, script(t, `echo $$; while :; do echo flood flood flood flood >&2; done`))
	client := w.client()
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	if ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{w.push()})); !ok || err != nil {
		t.Fatal(ok, err)
	}
	var pid int
	if _, err := fmt.Sscan(readLine(t, channel), &pid); err != nil {
		t.Fatal(err)
	}
	// Read until the window has gone round once, then no more.
	if _, err := io.CopyN(io.Discard, channel.Stderr(), 4<<20); err != nil {
		t.Fatal(err)
	}
	client.Close()
	waitGone(t, pid)
	w.wait("session ended")
}

func TestProgramThatCannotStart(t *testing.T) {
	w := serve(t, "/nonexistent/rsync")
	_, complaints, status := w.run(w.client(), w.push())
	if status != 126 || !strings.HasPrefix(complaints, "postern: refused: the program could not be started") {
		t.Errorf("status %d, %q", status, complaints)
	}
	if strings.Contains(complaints, "/nonexistent") {
		t.Errorf("the client reads %q", complaints)
	}
	w.stop()
	if ended := w.wait("session ended"); !strings.Contains(fmt.Sprint(ended["failure"]), "no such file") {
		t.Errorf("recorded %v", ended)
	}
}

// zeros is an endless stream.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// readLine reads byte by byte, so that nothing behind the line is lost.
func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	var line []byte
	for one := make([]byte, 1); ; {
		_, err := io.ReadFull(r, one)
		if err != nil {
			if !errors.Is(err, io.EOF) || len(line) > 0 {
				t.Fatalf("%v after %q", err, line)
			}
			return ""
		}
		line = append(line, one[0])
		if one[0] == '\n' {
			return string(line)
		}
	}
}

func asError[T error](err error, target *T) bool { return errors.As(err, target) }
