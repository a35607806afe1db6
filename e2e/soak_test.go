package e2e

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

var soakTime = flag.Duration("soak-time", time.Minute, "how long mixed traffic goes on")

// TestSoak has everything go on at once that a gateway sees in a long time: pushes and
// pulls, the life of a borg repository, requests that are refused, strangers, reloads,
// clients and children that are killed, and commands of the operator. The gateway
// grows by nothing, nothing is left behind, each session has its one end, and what was
// backed up is whole.
func TestSoak(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	s := newSoak(t)
	watch := newSampler(s.p, *soakTime)
	var working sync.WaitGroup
	traffic := s.traffic()
	rounds := make([]int, len(traffic))
	for i, kind := range traffic {
		working.Go(func() { rounds[i] = s.goOn(kind) })
	}
	working.Wait()
	for i, kind := range traffic {
		t.Logf("%s: %d", kind.name, rounds[i])
	}
	watch.judge(t)
	now, err := s.p.atRest()
	if err == nil {
		err = s.rest.more(now)
	}
	if err != nil {
		t.Error(err)
	}
	s.must(t, "rsync", "-a", "--delete", "src/", "laptop:pushed/")
	s.must(t, "borg", "check", "--lock-wait", "20", "laptop:"+s.repository)
	if found, err := sameTree(s.path("src"), s.path("nas/data/pushed"), []string{"dirmtime"}, nil); err != nil || len(found) > 0 {
		t.Errorf("what was pushed differs: %v, %v", found, err)
	}
	if _, err := s.postern("audit", "verify"); err != nil {
		t.Error(err)
	}
	decided, ends := s.sessions(t)
	t.Logf("%d sessions: %v", len(decided), ends)
}

// soak is a gateway with mixed traffic.
type soak struct {
	*storm
	end    time.Time
	visits []visit
	// victim is the client whose sessions are killed.
	victim string
}

// traffic is one kind of what goes on, again and again, one round at a time.
type traffic struct {
	name  string
	round func(n int) error
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{storm: newStorm(t), victim: "gone"}
	for i := range 40 {
		data := []byte(strings.Repeat(fmt.Sprintf("%d\n", i), 100*i))
		if err := write(s.path(fmt.Sprintf("src/%d/file", i)), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(s.path("big/file"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s.must(t, "rsync", "-a", "src/", "laptop:fixed/")
	_, private, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range badConnections(key) {
		if v.kind != "a byte a second" { // its time is that of login grace
			s.visits = append(s.visits, v)
		}
	}
	s.end = time.Now().Add(*soakTime)
	return s
}

// traffic is all that goes on at once.
func (s *soak) traffic() []traffic {
	return []traffic{
		{"pushes", s.push}, {"pulls", s.pull}, {"borg commands", s.borg}, {"refused requests", s.refused},
		{"strangers", s.stranger}, {"kills", s.kill}, {"changes of files and commands", s.operate},
	}
}

// goOn goes on until the end of the time, or until something is not as it must be.
func (s *soak) goOn(kind traffic) (rounds int) {
	for ; time.Now().Before(s.end); rounds++ {
		if err := kind.round(rounds); err != nil {
			s.t.Errorf("%s, round %d: %v", kind.name, rounds, err)
			return rounds
		}
		// Machines that back up have pauses, and all kinds are to have their turn.
		<-time.After(time.Duration(100+rand.IntN(200)) * time.Millisecond)
	}
	return rounds
}

// ends runs a command of a client's, which must end with a status.
func (s *soak) ends(want int, name string, args ...string) error {
	out, errs, status, err := s.run(name, args...)
	if err == nil && status != want {
		err = fmt.Errorf("%s %q: status %d, not %d: %s%s", name, args, status, want, out, errs)
	}
	return err
}

func (s *soak) push(n int) error {
	name := s.path(fmt.Sprintf("src/%d", n%40))
	if n%3 == 2 {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	} else if err := write(name+"/file", []byte(fmt.Sprint(n)), 0o644); err != nil {
		return err
	}
	return s.ends(0, "rsync", "-a", "--delete", "src/", "laptop:pushed/")
}

func (s *soak) pull(int) error {
	if err := os.RemoveAll(s.path("pulled")); err != nil {
		return err
	}
	if err := s.ends(0, "rsync", "-a", "laptop:fixed/", "pulled"); err != nil {
		return err
	}
	// Of a folder's time rsync looks at the seconds alone.
	found, err := sameTree(s.path("pulled"), s.path("nas/data/fixed"), []string{"dirmtime"}, nil)
	if len(found) > 0 {
		return fmt.Errorf("what was pulled differs: %v", found)
	}
	return err
}

func (s *soak) borg(n int) error {
	repository := "laptop:" + s.repository
	switch n % 4 {
	case 2:
		return s.ends(0, "borg", "prune", "--keep-last", "2", repository)
	case 3:
		return s.ends(0, "borg", "check", repository)
	}
	return s.ends(0, "borg", "create", fmt.Sprintf("%s::%d", repository, n), "big")
}

func (s *soak) refused(n int) error {
	commands := []string{"cat /etc/passwd", "", "rsync --server -e.LsfxCIvu . /etc", "borg serve --umask=0 /etc", "rsync --server --daemon ."}
	if command := commands[n%len(commands)]; command != "" {
		_, errs, status, err := s.run("ssh", "laptop", command)
		if err != nil || status == 0 || status == 255 && command != "" {
			return fmt.Errorf("%q: status %d, %v: %s", command, status, err, errs)
		}
		return nil
	}
	return s.ends(255, "ssh", "bare", "rsync --server -e.LsfxCIvu . x")
}

// stranger is one bad connection.
func (s *soak) stranger(n int) error {
	v := s.visits[n%len(s.visits)]
	conn, err := net.Dial("tcp", s.server.Address())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if v.strike(ctx, conn.(*net.TCPConn), false) == stuck {
		return fmt.Errorf("%s: the gateway did not end it", v.kind)
	}
	return nil
}

// kill starts a push and has it end: its client, a process of the gateway for it, or
// the session, by the operator.
func (s *soak) kill(n int) error {
	cmd := exec.Command(s.path("bin/rsync"), "-a", "--bwlimit=200k", "big/", fmt.Sprintf("%s:%d", s.victim, n))
	cmd.Dir, cmd.Env = s.work, append(os.Environ(), s.env()...)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait() // however it ended
	<-time.After(time.Duration(rand.IntN(500)) * time.Millisecond)
	defer cmd.Process.Kill() // if what follows found nothing to end
	switch n % 3 {
	case 1:
		for _, child := range descendants(s.p.pid()) {
			if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", child.pid)); strings.HasPrefix(cwd, s.path("nas/"+s.victim)) {
				_ = syscall.Kill(child.pid, syscall.SIGKILL) // it may have ended
			}
		}
	case 2:
		_, _ = s.postern("kill", "--client", s.victim) // it may have ended, and the files may be no good just now
	}
	return nil
}

// operate changes the files, and then asks as operators do.
func (s *soak) operate(n int) error {
	if err := s.ways()[n%len(s.ways())](s.text + fmt.Sprintf("# %d\n", n)); err != nil {
		return err
	}
	commands := [][]string{
		{"reload"}, {"sessions", "--json"}, {"audit", "-n", "5"}, {"client", "list"}, {"bans"}, {"audit", "verify"}, {"audit", "summary"},
	}
	words := commands[n%len(commands)]
	_, err := s.postern(words[0], words[1:]...)
	return err
}
