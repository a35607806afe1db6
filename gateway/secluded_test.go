package gateway_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const secluded = "rsync --server -slogDtpre.iLsfxCIvu"

// B6: the arguments come on standard input; they are judged as any, and what is
// behind them is the child's, byte for byte.
func TestSecludedArguments(t *testing.T) {
	w := serve(t, script(t, `echo "$@"; cat`))
	s := w.session()
	s.Stdin = io.MultiReader(
		strings.NewReader("rsync\x00.\x00"+w.data+"/a b\x00"),
		strings.NewReader("\x00\x00data\x00\xff"), io.LimitReader(zeros{}, 3_000_000))
	out, err := s.Output(secluded)
	line, rest, _ := strings.Cut(string(out), "\n")
	if err != nil || !strings.HasSuffix(line, " -- . "+w.data+"/a b") || strings.HasPrefix(line, "-s") {
		t.Errorf("%v, arguments %q", err, line)
	}
	if want := "\x00data\x00\xff" + strings.Repeat("\x00", 3_000_000); rest != want {
		t.Errorf("the child got %d bytes, want %d", len(rest), len(want))
	}
	w.stop()
	decided := w.wait("session decided")
	if decided["request"] != secluded || fmt.Sprint(decided["arguments"]) != "[rsync . "+w.data+"/a b]" {
		t.Errorf("recorded %v", decided)
	}
}

func TestSecludedArgumentsAreBounded(t *testing.T) {
	w := serve(t, script(t, `echo ran`))
	for name, c := range map[string]struct{ input, says string }{
		"nothing":              {"", "end too early"},
		"no end":               {"rsync\x00.\x00x\x00", "end too early"},
		"half a word":          {"rsync\x00.\x00x", "end too early"},
		"no program":           {"\x00", "rsync"},
		"another program":      {"sh\x00-c\x00id\x00\x00", "rsync"},
		"dangerous option":     {"rsync\x00--log-file=" + w.data + "/x\x00.\x00" + w.data + "\x00\x00", "--log-file"},
		"remote shell":         {"rsync\x00-e/bin/sh\x00.\x00" + w.data + "\x00\x00", ""},
		"path outside":         {"rsync\x00.\x00/etc\x00\x00", "/etc"},
		"word without end":     {"rsync\x00" + strings.Repeat("x", 2<<20), "too long"},
		"words without end":    {"rsync\x00" + strings.Repeat("x\x00", 1<<20), "too many"},
		"ten thousand and one": {"rsync\x00" + strings.Repeat("x\x00", 10_000) + "\x00", "too many"},
	} {
		s := w.session()
		s.Stdin = strings.NewReader(c.input)
		var complaints strings.Builder
		s.Stderr = &complaints
		out, err := s.Output(secluded)
		if exitStatus(t, err) != 126 || len(out) > 0 || !strings.HasPrefix(complaints.String(), "postern: refused: ") || !strings.Contains(complaints.String(), c.says) {
			t.Errorf("%s: %v, %q, %.200q", name, err, out, complaints.String())
		}
	}
	w.stop()
	w.none("session ended")
}

// A client that never sends them is as any other that says nothing.
func TestSecludedArgumentsThatNeverCome(t *testing.T) {
	w := serve(t, script(t, `echo ran`))
	client := w.client()
	channel, _ := open(t, client)
	if !ask(t, channel, "exec", text(secluded)) {
		t.Fatal("refused")
	}
	client.Close()
	if decided := w.wait("session decided"); decided["verdict"] != "deny" {
		t.Errorf("recorded %v", decided)
	}
}
