package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// gated is an ssh that stops after some bytes of an upload, until the gate is open:
// then nobody holds its lock. dd passes on at once what it reads, and says how much it
// was; the gate is a file for flock. rsync waits for ssh itself.
const gated = `#!/bin/bash
exec 3<&0
exec ssh "$@" < <(
	exec 4>&1
	dd bs=1 count="$STOP" <&3 2>&1 >&4 | grep -q "^$STOP bytes" || exit
	: >"$HELD"
	flock -s "$GATE" true
	exec cat <&3
) 3<&-
`

const (
	// crowdFile is the size of what each uploads.
	crowdFile = 96 << 10
	// midway is in the midst of it: both processes of the gateway's rsync are at work.
	midway = 4 << 10
	// early is before the list of files, behind which the second process is forked.
	early = 8
)

// crowdAtOnce is how many clients sign in at one time: half of what one source may
// have on their way in.
const crowdAtOnce = 20

// TestSiegeSessions has many sessions at once. Half of them come by ten on one
// connection, as with ControlMaster, and half on one each. In the first of them an rsync
// of the gateway waits for what to do, in the others for the rest of a file. All end
// well, and nothing is left.
func TestSiegeSessions(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	before := measure(t, c.p.pid())
	c.masters()
	start := time.Now()
	c.gather()
	t.Logf("%d sessions began within %v", len(c.members), time.Since(start).Round(time.Second))
	during := measure(t, c.p.pid())
	t.Logf("before: %v", before)
	t.Logf("during: %v", during)
	if during.children < 3*len(c.members)-c.early() {
		t.Errorf("%d sessions have %d processes, so that not all of them are there", len(c.members), during.children)
	}
	start = time.Now()
	c.gate.Close()
	c.dissolve()
	t.Logf("all ended within %v", time.Since(start).Round(time.Second))
	if err := c.p.idle(); err != nil {
		t.Error(err)
	}
	after := measure(t, c.p.pid())
	t.Logf("after:  %v", after)
	if most := crowdMemory(len(c.members)); after.peak > most {
		t.Errorf("the gateway took %d MiB for %d sessions; %d should do", after.peak, len(c.members), most)
	}
}

// crowdMemory is what a gateway may take for so many sessions, in MiB.
func crowdMemory(sessions int) int { return 64 + 3*sessions/4 }

// early is how many of the first stop before they say what they want.
func (c *crowd) early() int { return (len(c.members) + 9) / 10 }

// crowd is the clients of many sessions.
type crowd struct {
	*world
	t       *testing.T
	p       *postern
	gate    *os.File // while it is open and locked, the gate is shut
	control []*exec.Cmd
	members []*member
}

// member is one of them.
type member struct {
	name, ssh  string
	stop       int // how many bytes pass before the gate
	cmd        *exec.Cmd
	complaints bytes.Buffer
	ended      chan error
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{world: siegeWorld(t), t: t}
	if err := write(c.path("bin/gated"), []byte(gated), 0o755); err != nil {
		t.Fatal(err)
	}
	gate, err := os.Create(c.path("gate"))
	if err == nil {
		err = unix.Flock(int(gate.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.gate = gate
	t.Cleanup(func() { gate.Close() })
	for i := range *siegeSessions {
		name := fmt.Sprintf("client-%04d", i)
		if err := write(c.path(filepath.Join("src", name, "file")), crowdContent(i), 0o644); err != nil {
			t.Fatal(err)
		}
		c.members = append(c.members, &member{name: name, ssh: "gated", stop: midway, ended: make(chan error, 1)})
	}
	for _, m := range c.members[:c.early()] {
		m.stop = early
	}
	c.p = c.besiege(t, "{sessions: 10}")
	return c
}

// crowdContent differs from client to client, so that no two can be mistaken.
func crowdContent(i int) []byte {
	content := make([]byte, crowdFile)
	random := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	random.Read(content)
	return content
}

// masters makes the connections that half of the members share by ten.
func (c *crowd) masters() {
	c.t.Helper()
	const share = 10
	for i := range len(c.members) / 2 {
		socket := c.path(fmt.Sprintf("control-%d", i/share))
		if i%share == 0 {
			cmd := c.client(c.path("bin/ssh"), "-M", "-N", "-S", socket, "nas")
			c.control = append(c.control, cmd)
			if err := cmd.Start(); err != nil {
				c.t.Fatal(err)
			}
			c.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			if err := until(func() (bool, string) {
				_, err := os.Stat(socket)
				return err == nil, "ssh has no control socket"
			}); err != nil {
				c.t.Fatal(err)
			}
		}
		c.members[i].ssh = "gated -S " + socket
	}
}

// client is a command of the client machine.
func (c *crowd) client(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = c.work, append(os.Environ(), c.env()...)
	return cmd
}

// gather starts all members, and returns once each waits at the gate.
func (c *crowd) gather() {
	c.t.Helper()
	places := make(chan struct{}, crowdAtOnce)
	var all sync.WaitGroup
	for _, m := range c.members {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if err := c.begin(m); err != nil {
				c.t.Errorf("%s: %v: %s", m.name, err, m.complaints.String())
			}
		})
	}
	all.Wait()
	if c.t.Failed() {
		c.gate.Close()
		c.dissolve()
		c.t.FailNow()
	}
}

// begin starts a member, and returns once it waits at the gate.
func (c *crowd) begin(m *member) error {
	held := c.path("held-" + m.name)
	m.cmd = c.client(c.path("bin/rsync"), "-rtW", "-e", m.ssh, "src/"+m.name, "nas:")
	m.cmd.Env = append(m.cmd.Env, "STOP="+strconv.Itoa(m.stop), "HELD="+held, "GATE="+c.gate.Name())
	m.cmd.Stderr = &m.complaints
	if err := m.cmd.Start(); err != nil {
		return err
	}
	go func() { m.ended <- m.cmd.Wait() }()
	var failure error
	err := until(func() (bool, string) {
		select {
		case failure = <-m.ended:
			m.ended <- failure
			failure = fmt.Errorf("it ended before its time: %w", failure)
			return true, ""
		default:
		}
		_, err := os.Stat(held)
		return err == nil, "it does not come to the gate"
	})
	if failure != nil {
		return failure
	}
	return err
}

// dissolve waits until all members have ended, each of them well.
func (c *crowd) dissolve() {
	c.t.Helper()
	for i, m := range c.members {
		if m.cmd == nil || m.cmd.Process == nil {
			continue
		}
		if err := <-m.ended; err != nil {
			c.t.Errorf("%s: %v: %s", m.name, err, m.complaints.String())
			continue
		}
		stored, err := os.ReadFile(c.path(filepath.Join("nas/data", m.name, "file")))
		if err != nil || !bytes.Equal(stored, crowdContent(i)) {
			c.t.Errorf("%s: what is stored is not what was sent: %v", m.name, err)
		}
	}
	for _, master := range c.control {
		master.Process.Signal(unix.SIGTERM)
		master.Wait()
	}
}
