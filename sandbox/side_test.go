package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/sandbox"
)

// neighbour is another session of the same gateway. The attacker knows the
// numbers of all its processes.
type neighbour struct {
	name string
	// same says that it runs as the attacker's user.
	same bool
}

// Two clients side by side, of one user and of two: neither reaches the other,
// nor the gateway.
func TestSideBySide(t *testing.T) {
	for _, s := range starters() {
		for _, n := range []neighbour{{"one user", true}, {"two users", false}} {
			if !n.same && s.gateway.UID != 0 {
				continue
			}
			for _, l := range levels {
				t.Run(fmt.Sprintf("%s/%s/%s", s.name, n.name, l), func(t *testing.T) {
					t.Parallel()
					testSideBySide(t, s.strange(), n, l)
				})
			}
		}
	}
}

func testSideBySide(t *testing.T, s starter, n neighbour, l sandbox.Level) {
	base := battlefield(t, s.child)
	o := s.attacker(base, s.order(t, base, l), true)
	other := s
	if !n.same {
		other = starter{gateway: s.gateway, child: nobody}.strange()
	}
	gateway, session := startSession(t, other, base, l)
	victims := append([]int{gateway}, session...)
	got := s.attackMany(t, base, o, victims...)
	for i, victim := range victims {
		// The table is of a process of the same user. A gateway that is root
		// is one only to a child that is root.
		same := n.same
		if victim == gateway {
			same = s.gateway == s.child
		}
		for _, c := range chapters {
			if c.title != processes {
				continue
			}
			for _, a := range c.attacks {
				want := a.succeeds(l, true, false) && (same || slices.Contains(harmless, a.name))
				if slices.Contains(got[i], a.name) && !want {
					t.Errorf("%s: reaches process %d of %v", a.name, i, victims)
				}
			}
		}
	}
	// At none the neighbour is within reach, which shows that this is one.
	if last := got[len(got)-1]; l == none && n.same && !slices.Contains(last, "signal a process") {
		t.Errorf("only %q works on the session of the same user", last)
	}
}

// harmless are the attacks on processes that need no right to them.
var harmless = []string{
	"list the processes", "see a process", "ask whether a process lives",
	"leave its group (a namespace of processes ends with the session even so)",
}

// startSession has a gateway run a session until the test ends. It returns the
// numbers of the gateway and of the session's processes.
func startSession(t *testing.T, s starter, base string, l sandbox.Level) (gateway int, session []int) {
	t.Helper()
	o := s.order(t, base, l)
	o.Program, o.Args = filepath.Join(base, "program"), []string{"program", attackVerb, waitWord}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	words := s.words(base, gatewayVerb, string(text))
	cmd := s.run(t, words[0], words[1:]...)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		cmd.Wait()
	})
	if _, err := io.ReadFull(output, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for pids := children(t, cmd.Process.Pid); len(pids) > 0; pids = children(t, pids[0]) {
		session = append(session, pids...)
	}
	if len(session) == 0 {
		t.Fatal("the session has no process")
	}
	return cmd.Process.Pid, session
}

// children are the processes that a process has started.
func children(t *testing.T, pid int) []int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.Fields(string(text)) {
			var n int
			if _, err := fmt.Sscan(word, &n); err != nil {
				t.Fatal(err)
			}
			list = append(list, n)
		}
	}
	return list
}

// A program that takes memory until there is none is stopped by its limit, and
// not by the machine.
func TestMemoryIsExhausted(t *testing.T) {
	for _, l := range levels {
		o := at(t, shell(t, ""), l)
		dir := publicDir(t)
		o.Program = filepath.Join(dir, "program")
		copyFile(t, self, o.Program)
		o.Args, o.User = []string{o.Program, attackVerb, memoryWord}, asNobody()
		o.Limits.Memory = 2 << 30
		p := start(t, o)
		out, err := io.ReadAll(p.Stdout)
		if exit := p.Wait(); err != nil || exit != (sandbox.Exit{}) || string(out) != "refused" {
			t.Errorf("%s: %q, %+v, %v", l, out, exit, err)
		}
	}
	if out, err := exec.Command(self, attackVerb, memoryWord).Output(); err != nil || string(out) != "taken" {
		t.Errorf("without a limit: %q, %v", out, err)
	}
}
