package gateway_test

import (
	"io"
	"testing"

	"golang.org/x/crypto/ssh"
)

// exec opens a session and asks for the command, on a channel whose requests the
// test answers itself.
func (w *world) exec(command string) (ssh.Channel, <-chan *ssh.Request) {
	w.t.Helper()
	channel, requests, err := w.client().OpenChannel("session", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command})); err != nil || !ok {
		w.t.Fatalf("exec: %v, %v", ok, err)
	}
	return channel, requests
}

// mustSettle answers the question by which the gateway learns that the client
// has taken in what it was told.
func mustSettle(t *testing.T, requests <-chan *ssh.Request) {
	t.Helper()
	req := <-requests
	if req == nil || req.Type != "keepalive@openssh.com" || !req.WantReply {
		t.Fatalf("the gateway did not wait for the client: %+v", req)
	}
	if err := req.Reply(false, nil); err != nil {
		t.Fatal(err)
	}
}

// rsync clients end at a message on standard output that says there was an
// error, which must not overtake the error itself.
func TestComplaintsAreShownBeforeTheOutputThatFollows(t *testing.T) {
	w := serve(t, script(t, `echo why >&2; echo ended; cat >/dev/null`))
	channel, requests := w.exec(w.push())
	complaint := make([]byte, 4)
	if _, err := io.ReadFull(channel.Stderr(), complaint); err != nil || string(complaint) != "why\n" {
		t.Fatalf("%q, %v", complaint, err)
	}
	mustSettle(t, requests)
	output := make([]byte, 6)
	if _, err := io.ReadFull(channel, output); err != nil || string(output) != "ended\n" {
		t.Fatalf("%q, %v", output, err)
	}
}

// borg clients look at the end of the session before they look at what was said.
func TestARefusalIsShownBeforeTheSessionEnds(t *testing.T) {
	w := serve(t, script(t, `echo ran > ran`))
	channel, requests := w.exec("borg serve")
	if _, err := channel.Write([]byte("negotiate")); err != nil {
		t.Fatal(err)
	}
	mustSettle(t, requests)
	if complaint, err := io.ReadAll(channel.Stderr()); err != nil || len(complaint) == 0 {
		t.Fatalf("%q, %v", complaint, err)
	}
	if req := <-requests; req == nil || req.Type != "exit-status" {
		t.Fatalf("no exit status: %+v", req)
	}
}

// A client that answers nothing is waited for once, and still gets everything.
func TestAClientThatNeverAnswersIsServed(t *testing.T) {
	w := serve(t, script(t, `for i in 1 2 3 4 5; do echo why >&2; echo out; read line; done`))
	channel, requests := w.exec(w.push())
	go func() {
		for range requests { // unanswered
		}
	}()
	for range 5 {
		output := make([]byte, 4)
		if _, err := io.ReadFull(channel, output); err != nil || string(output) != "out\n" {
			t.Fatalf("%q, %v", output, err)
		}
		if _, err := channel.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
	}
	if rest, err := io.ReadAll(channel); err != nil || len(rest) != 0 {
		t.Fatalf("%q, %v", rest, err)
	}
}
