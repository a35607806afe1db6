package e2e

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kills is how often something is killed at each level.
var (
	kills    = flag.Int("kills", 9, "how often a gateway, a child, a client or a session is killed at a random moment, at each level")
	killSeed = flag.Uint64("kill-seed", 0, "repeat the kills of this seed; 0 makes one up")
)

// TestKilled kills the gateway, its children and its clients at random moments,
// again and again, while stock clients are at work. Nothing of them stays, nobody
// could have changed the trail, and every child that ever ran is in it: decided before
// it started, and ended once, as seen or as lost. What was cut off is well when it is
// done again.
func TestKilled(t *testing.T) {
	if onlyBaseline() {
		return
	}
	levels := []string{full, none}
	if *whole {
		levels = append(levels, landlock, namespaces)
	}
	for _, level := range levels {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			seed := *killSeed
			if seed == 0 {
				seed = uint64(time.Now().UnixNano())
			}
			t.Logf("seed %d", seed)
			k := newKilled(t, level, rand.New(rand.NewPCG(seed, 0)))
			var deck []victim
			for round := range *kills {
				if len(deck) == 0 {
					deck = k.shuffled()
				}
				k.round(round, deck[0])
				deck = deck[1:]
			}
			k.repeat(*kills) // all is as it was for the clients, too
			k.account()
		})
	}
}

// killed is a world in which something is killed.
type killed struct {
	*world
	t      *testing.T
	p      *postern
	random *rand.Rand
	rest   left
	// stored is how often something was stored in which folder, at least.
	stored map[string]int
}

// victim is what a round kills, and how.
type victim struct {
	what   string
	signal syscall.Signal
}

// shuffled are the victims of some rounds: each that there is, in any order.
func (k *killed) shuffled() []victim {
	deck := []victim{
		{"gateway", syscall.SIGKILL}, {"gateway", syscall.SIGKILL}, {"gateway", syscall.SIGKILL}, {"gateway", syscall.SIGTERM},
		{"child", syscall.SIGKILL}, {"child", syscall.SIGTERM}, {"client", syscall.SIGKILL}, {"client", syscall.SIGTERM},
		{"sessions", 0},
	}
	k.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

// witness is a program that writes down when it starts and with what, and then
// becomes the real one. Its file is on no path of a client's.
const witness = `#!/usr/bin/python3
import json, os, sys, time
if "--version" not in sys.argv:
    with open(%q, "a") as f:
        f.write(json.dumps({"time": time.time(), "args": sys.argv[1:]}) + "\n")
os.execv(%q, [%q] + sys.argv[1:])
`

// newKilled starts a gateway. A confined child cannot run anything but its program,
// so there is a witness only where none is confined; elsewhere what the children
// stored tells of them.
func newKilled(t *testing.T, level string, random *rand.Rand) *killed {
	t.Helper()
	w := newTestWorld(t, manner{level: level})
	w.binary = os.Getenv(envPlain)
	w.config = append(w.config, "drain: 1s")
	if level == none {
		borg := w.tools["borg"]
		for name, real := range map[string]string{"rsync": w.serverProgram(), "borg": borg} {
			script := fmt.Sprintf(witness, w.path("outside/ran"), real, name)
			if err := write(w.path("programs/"+name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		w.tools = maps.Clone(w.tools)
		w.program, w.tools["borg"] = w.path("programs/rsync"), w.path("programs/borg")
	}
	for name, size := range map[string]int{"src/small": 1000, "src/big": 1 << 20} {
		if err := write(w.path(name), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.addClient("laptop", "rsync:nas/data", "borg:nas/borg"); err != nil {
		t.Fatal(err)
	}
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	k := &killed{world: w, t: t, p: w.server.(*postern), random: random, stored: map[string]int{}}
	k.must(k.t, "borg", "init", "-e", "none", "nas:"+k.repository())
	var err error
	if k.rest, err = k.p.atRest(); err != nil {
		t.Fatal(err)
	}
	return k
}

// repository is the one that the borgs of all rounds share.
func (k *killed) repository() string { return k.path("nas/borg/kept") }

// named is the name of what a round stores.
func (k *killed) named(round int) string { return fmt.Sprintf("round-%03d", round) }

// clients are those of one round, of which some take longer than others, and one says
// nothing until its input is closed.
func (k *killed) clients(round int) (all []*exec.Cmd, silent io.Closer) {
	k.t.Helper()
	borg, quiet := "borg init -e none nas:"+k.path("nas/borg")+"/ROUND", "rsync --server -re.iLsfxCIvu . ROUND-0"
	if round%2 == 1 {
		borg, quiet = "borg create --lock-wait 20 nas:"+k.repository()+"::ROUND src", "borg serve"
	}
	for _, line := range []string{
		"rsync -a src/small nas:ROUND-0/",
		"rsync -a --bwlimit=500k src/ nas:ROUND-1/",
		"rsync -a nas: back-ROUND/",
		borg,
		"ssh nas " + quiet,
	} {
		words := strings.Fields(strings.ReplaceAll(line, "ROUND", k.named(round)))
		cmd := exec.Command(words[0], words[1:]...)
		if words[0] != "borg" {
			cmd.Path = k.path("bin/" + words[0])
		}
		cmd.Dir, cmd.Env = k.work, append(os.Environ(), k.env()...)
		all = append(all, cmd)
	}
	silent, err := all[len(all)-1].StdinPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	return all, silent
}

// round starts clients, kills one thing at some moment, and looks what is left.
func (k *killed) round(n int, v victim) {
	k.t.Helper()
	all, silent := k.clients(n)
	for _, cmd := range all {
		if err := cmd.Start(); err != nil {
			k.t.Fatal(err)
		}
	}
	// The moment is what this is about; no condition could be waited for.
	<-time.After(time.Duration(k.random.IntN(1500)) * time.Millisecond)
	k.strike(v, all)
	silent.Close()
	for _, cmd := range all {
		cmd.Wait() // well or not, as far as they came
	}
	if err := k.restored(); err != nil {
		k.t.Fatalf("after kill %d, of the %s by signal %d: %v", n, v.what, v.signal, err)
	}
	k.wholeOrNot(n)
	k.repeat(n)
}

// restored waits for a gateway at rest with nothing left of before, whose trail is
// whole.
func (k *killed) restored() error {
	if k.p.over {
		if err := k.takeOver(); err != nil {
			return err
		}
	}
	now, err := k.p.atRest()
	if err != nil {
		return err
	}
	if err := k.rest.more(now); err != nil {
		return err
	}
	_, err = k.postern("audit", "verify")
	return err
}

// strike kills the victim. Where there is none of its kind at the moment, nothing is.
func (k *killed) strike(v victim, clients []*exec.Cmd) {
	k.t.Helper()
	switch v.what {
	case "gateway":
		k.strikeGateway(v.signal)
		return
	case "sessions":
		_, _ = k.postern("kill", "--all") // which fails when none runs
		return
	}
	all := family(k.p.pid())
	if v.what == "client" {
		all = nil
		for _, cmd := range clients {
			all = append(append(all, family(cmd.Process.Pid)...), started{cmd.Process.Pid, birth(cmd.Process.Pid)})
		}
	}
	if len(all) > 0 {
		_ = syscall.Kill(all[k.random.IntN(len(all))].pid, v.signal) // it may have ended
	}
}

// strikeGateway ends the gateway; none of its children outlives it.
func (k *killed) strikeGateway(signal syscall.Signal) {
	k.t.Helper()
	children := family(k.p.pid())
	if err := k.p.cmd.Process.Signal(signal); err != nil {
		k.t.Fatal(err)
	}
	select {
	case err := <-k.p.ended:
		if signal == syscall.SIGTERM && err != nil {
			k.t.Errorf("after SIGTERM: %v\n%s", err, k.p.log.tail(20))
		}
	case <-time.After(patience):
		k.t.Fatalf("the gateway does not end by %s", signal)
	}
	k.p.over = true
	if err := gone(children); err != nil {
		k.t.Fatalf("children of a gateway that got %s: %v", signal, err)
	}
}

// takeOver has the next gateway begin, once nothing of the last one runs.
func (k *killed) takeOver() error {
	if err := until(func() (bool, string) {
		left := strays(k.work)
		return len(left) == 0, "these outlive the gateway:\n" + describe(left)
	}); err != nil {
		return err
	}
	if err := k.p.serve(); err != nil {
		return err
	}
	k.p.over = false
	return k.writeHosts()
}

// wholeOrNot looks at what a round stored: what has its name is whole.
func (k *killed) wholeOrNot(round int) {
	k.t.Helper()
	for name, size := range map[string]int64{"-0/small": 1000, "-1/small": 1000, "-1/big": 1 << 20} {
		path := k.path("nas/data/" + k.named(round) + name)
		if info, err := os.Lstat(path); err == nil && info.Size() != size {
			k.t.Errorf("%s has %d bytes of %d", path, info.Size(), size)
		}
	}
	for _, folder := range []string{k.named(round) + "-0", k.named(round) + "-1"} {
		if _, err := os.Lstat(k.path("nas/data/" + folder)); err == nil {
			k.stored[folder]++
		}
	}
}

// repeat does again, to its end, what a round may have cut off, and then makes room.
func (k *killed) repeat(round int) {
	k.t.Helper()
	name := k.named(round)
	folder := name + "-1"
	k.must(k.t, "rsync", "-a", "--delete", "src/", "nas:"+folder+"/") // its own temporary files rsync leaves
	if got := names(k.path("nas/data/" + folder)); !slices.Equal(got, []string{"big", "small"}) {
		k.t.Errorf("%s holds %q", folder, got)
	}
	k.stored[folder]++
	if round%8 == 0 || round == *kills {
		k.must(k.t, "borg", "create", "--lock-wait", "20", "nas:"+k.repository()+"::again-"+name, "src")
		k.must(k.t, "borg", "check", "--lock-wait", "20", "nas:"+k.repository())
	}
	for _, old := range []string{"nas/data/" + name + "-0", "nas/data/" + name + "-1", "nas/borg/" + name, "back-" + name} {
		if err := os.RemoveAll(k.path(old)); err != nil {
			k.t.Error(err)
		}
	}
}
