package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var stormTime = flag.Duration("storm-time", 3*time.Second, "how long files change while transfers run; from a minute on, a second is all that the last change may take")

// stormPause is between two changes.
const stormPause = 30 * time.Millisecond

// TestStorm changes the files of clients many times a second, in all the ways of
// editors, while an rsync and a borg are at work. These end well, the gateway grows by
// nothing, and who is removed last is refused.
func TestStorm(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	s := newStorm(t)
	seconds := int(stormTime.Seconds()) + 2
	for name, size := range map[string]int{"pushed/file": seconds << 20, "archived/file": seconds << 20} {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(data)
		if err := write(s.path(name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	push := s.start("rsync", "-a", "--bwlimit=1M", "pushed/", "laptop:x")
	archive := s.start("borg", "create", "--upload-ratelimit", "1000", "laptop:"+s.repository+"::storm", "archived")
	watch := newSampler(s.p, *stormTime)
	rounds := s.blow(time.Now().Add(*stormTime))
	watch.judge(t)
	took := s.removed()
	t.Logf("%d changes; the last ones took effect after %s", rounds, took)
	if *stormTime >= time.Minute && slices.Max(took) > time.Second {
		t.Error("that is more than a second")
	}
	push.well(t)
	archive.well(t)
	if got, err := os.ReadFile(s.path("nas/data/x/file")); err != nil || len(got) != seconds<<20 {
		t.Errorf("the push stored %d bytes, %v", len(got), err)
	}
	s.must(t, "borg", "check", "laptop:"+s.repository)
	now, err := s.p.atRest()
	if err == nil {
		err = s.rest.more(now)
	}
	if err != nil {
		t.Error(err)
	}
}

// storm is a gateway whose files change.
type storm struct {
	*world
	t          *testing.T
	p          *postern
	rest       left
	repository string
	// own is the file of a client that is of no use but to be changed, and text what
	// it should hold.
	own, text string
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{world: newTestWorld(t, manner{level: full}), t: t}
	s.binary, s.environment = os.Getenv(envPlain), []string{"GODEBUG=gctrace=1"}
	s.repository = s.path("nas/borg/repo")
	for _, args := range [][]string{{"laptop", "rsync:nas/data", "borg:nas/borg"}, {"gone", "rsync:nas/gone"}, {"own", "rsync:nas/own"}} {
		if _, err := s.addClient(args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.world.start(); err != nil {
		t.Fatal(err)
	}
	s.p, s.own = s.server.(*postern), s.path("gw/clients.d/own.yaml")
	text, err := os.ReadFile(s.own)
	if err != nil {
		t.Fatal(err)
	}
	s.text = string(text)
	s.must(t, "borg", "init", "-e", "none", "laptop:"+s.repository)
	s.must(t, "rsync", "-r", "gone:", "listed") // it may come in
	if s.rest, err = s.p.atRest(); err != nil {
		t.Fatal(err)
	}
	return s
}

// must runs a command of a client's that must end well.
func (w *world) must(t *testing.T, name string, args ...string) {
	t.Helper()
	out, errs, status, err := w.run(name, args...)
	if err != nil || status != 0 {
		t.Fatalf("%s %q: status %d, %v\n%s%s", name, args, status, err, out, errs)
	}
}

// background is a command of a client's that runs.
type background struct {
	*exec.Cmd
	said bytes.Buffer
}

func (s *storm) start(name string, args ...string) *background {
	s.t.Helper()
	if path := s.path("bin/" + name); name == "rsync" {
		name = path
	}
	b := &background{Cmd: exec.Command(name, args...)}
	b.Dir, b.Env, b.Stderr = s.work, append(os.Environ(), s.env()...), &b.said
	if err := b.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { b.Process.Kill() })
	return b
}

func (b *background) well(t *testing.T) {
	t.Helper()
	if err := b.Wait(); err != nil {
		t.Errorf("%q: %v\n%s", b.Args, err, &b.said)
	}
}

// blow changes files until the end, and leaves them as they should be.
func (s *storm) blow(end time.Time) (rounds int) {
	s.t.Helper()
	ways := s.ways()
	for ; time.Now().Before(end); rounds++ {
		text := s.text + fmt.Sprintf("# %d\n", rounds)
		if err := ways[rounds%len(ways)](text); err != nil {
			s.t.Fatalf("change %d: %v", rounds, err)
		}
		<-time.After(stormPause) // it is a storm, and no lock that keeps everything else out
	}
	if err := s.renamedOver(s.text); err != nil {
		s.t.Fatal(err)
	}
	return rounds
}

// ways are the ways in which a file changes.
func (s *storm) ways() []func(text string) error {
	return []func(string) error{s.renamedOver, s.truncated, s.halfWritten, s.removedAndWritten, s.invalid, s.unreadable, s.mountedOver}
}

func (s *storm) renamedOver(text string) error {
	beside := filepath.Join(filepath.Dir(s.own), ".own.new")
	if err := os.WriteFile(beside, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(beside, s.own)
}

func (s *storm) truncated(text string) error { return os.WriteFile(s.own, []byte(text), 0o600) }

func (s *storm) halfWritten(text string) error {
	f, err := os.Create(s.own)
	if err != nil {
		return err
	}
	defer f.Close()
	half := len(text) / 2
	if _, err := f.WriteString(text[:half]); err != nil {
		return err
	}
	<-time.After(stormPause)
	_, err = f.WriteString(text[half:])
	return err
}

func (s *storm) removedAndWritten(text string) error {
	if err := os.Remove(s.own); err != nil {
		return err
	}
	return s.truncated(text)
}

func (s *storm) invalid(text string) error {
	if err := s.renamedOver("shell: yes\n" + text); err != nil {
		return err
	}
	<-time.After(stormPause)
	return s.renamedOver(text)
}

// unreadable has the gateway refuse the file: anybody could write it.
func (s *storm) unreadable(text string) error {
	if err := os.Chmod(s.own, 0o666); err != nil {
		return err
	}
	<-time.After(stormPause)
	if err := os.Chmod(s.own, 0o600); err != nil {
		return err
	}
	return s.truncated(text)
}

// mountedOver puts a copy of the folder over it, changes that, and takes it away.
func (s *storm) mountedOver(text string) error {
	folder := filepath.Dir(s.own)
	if err := s.copied(); err != nil {
		return err
	}
	if err := unix.Mount(s.path("copied"), folder, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	err := s.renamedOver(text)
	<-time.After(stormPause)
	if gone := unix.Unmount(folder, unix.MNT_DETACH); err == nil {
		err = gone
	}
	return err
}

// copied makes a copy of the clients' files.
func (s *storm) copied() error {
	copied := s.path("copied")
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	return errors.Join(os.CopyFS(copied, os.DirFS(filepath.Dir(s.own))), os.Chmod(copied, 0o700))
}

// removed takes clients away, by a file that is removed and by a folder that is mounted
// over that of the files, and returns how long it was until the gateway went by that.
func (s *storm) removed() (took []time.Duration) {
	s.t.Helper()
	folder, copied := filepath.Dir(s.own), s.path("copied")
	took = append(took, s.until(2, func() error { return os.Remove(filepath.Join(folder, "gone.yaml")) }))
	if _, complaints, status, _ := s.run("rsync", "-r", "gone:", "listed"); status == 0 || !strings.Contains(complaints, "Permission denied (publickey)") {
		s.t.Errorf("who was removed is not refused: status %d, %s", status, complaints)
	}
	if err := errors.Join(s.copied(), os.Remove(filepath.Join(copied, "own.yaml"))); err != nil {
		s.t.Fatal(err)
	}
	took = append(took, s.until(1, func() error { return unix.Mount(copied, folder, "", unix.MS_BIND, "") }))
	return append(took, s.until(2, func() error { return unix.Unmount(folder, unix.MNT_DETACH) }))
}

// until changes something, and returns how long it was until the gateway had so many
// clients.
func (s *storm) until(clients int, change func() error) (took time.Duration) {
	s.t.Helper()
	from, at := s.p.log.len(), time.Now()
	if err := change(); err != nil {
		s.t.Fatal(err)
	}
	_, err := s.p.log.await(from, func(line string) bool {
		var record struct {
			Time    time.Time
			Message string
			Clients int
		}
		if json.Unmarshal([]byte(line), &record) != nil || record.Message != "policy loaded" || record.Clients != clients {
			return false
		}
		took = record.Time.Sub(at)
		return true
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return took
}
