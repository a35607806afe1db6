package usage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"postern/gateway/usage"
	"postern/policy"
)

// helper is how this binary is told to count a folder, and to say what is there.
const helper = "POSTERN_TEST_COUNT"

func TestMain(m *testing.M) {
	if path := os.Getenv(helper); path != "" {
		folder, err := os.Open(path)
		if err == nil {
			var u policy.Usage
			u, err = usage.Count(context.Background(), folder)
			fmt.Fprintln(os.Stdout, u.Files)
		}
		fmt.Fprintln(os.Stdout, err)
		return
	}
	goleak.VerifyTestMain(m)
}

// count counts a folder, as a gateway opens it.
func count(t *testing.T, path string) (policy.Usage, error) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	folder := os.NewFile(uintptr(fd), path)
	defer folder.Close()
	return usage.Count(t.Context(), folder)
}

func write(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Everything counts once, and as du counts it: holes nothing, a file with three names
// once, links for themselves and not for what they lead to.
func TestCount(t *testing.T) {
	top := t.TempDir()
	outside := filepath.Join(top, "outside")
	write(t, outside, 1<<20)
	in := filepath.Join(top, "in")
	write(t, in+"/file", 300_000)
	write(t, in+"/a/b/c/deep", 5000)
	write(t, in+"/"+strings.Repeat("n", 255)+"/empty", 0)
	must(t, os.Link(in+"/file", in+"/a/second"))
	must(t, os.Link(in+"/file", in+"/a/b/third"))
	must(t, os.Symlink("..", in+"/out"))
	must(t, os.Symlink(in, in+"/a/round"))
	must(t, os.Symlink(outside, in+"/a/file"))
	must(t, os.Symlink("/none", in+"/dangling"))
	must(t, unix.Mkfifo(in+"/fifo", 0o600))
	holes, err := os.Create(in + "/holes")
	must(t, err)
	must(t, holes.Truncate(1<<40))
	must(t, holes.Close())
	got, err := count(t, in)
	if err != nil {
		t.Fatal(err)
	}
	// file, deep, empty, holes, four links, a FIFO, four folders.
	if want := (policy.Usage{Bytes: du(t, in) - blocks(t, in), Files: 13}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if got, err := count(t, t.TempDir()); got != (policy.Usage{}) || err != nil {
		t.Errorf("an empty folder holds %+v, %v", got, err)
	}
}

// du is what the command says, in bytes.
func du(t *testing.T, path string) int64 {
	t.Helper()
	out, err := exec.Command("du", "-s", "--block-size=1", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var stat unix.Stat_t
	must(t, unix.Stat(path, &stat))
	return stat.Blocks * 512
}

// However deep the folders and however many, a count needs a few descriptors.
func TestCountDeep(t *testing.T) {
	top := t.TempDir()
	const depth = 700 // many times as many as descriptors, and longer than a path can be
	fd, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(fd, "folder", 0o700))
		next, err := unix.Openat(fd, "folder", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	t.Cleanup(func() { _ = exec.Command("rm", "-rf", top).Run() })
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	few := before
	few.Cur = 60
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	got, err := count(t, top)
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
	if got.Files != depth || err != nil {
		t.Errorf("counted %d of %d, %v", got.Files, depth, err)
	}
}

// While somebody puts links and folders in each other's places, a count ends, and
// counts nothing of what they lead to.
func TestCountOfWhatIsSwapped(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/outside/large", 8<<20)
	in := top + "/in"
	for i := range 20 {
		write(t, fmt.Sprintf("%s/a/%d/file", in, i), 1)
	}
	must(t, os.Symlink(top+"/outside", in+"/link"))
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; !stop.Load(); i++ {
			name := fmt.Sprintf("%s/a/%d", in, i%20)
			_ = unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, in+"/link", unix.RENAME_EXCHANGE)
		}
	}()
	for range 60 {
		got, err := count(t, in)
		if got.Bytes >= 8<<20 {
			t.Errorf("counted %+v", got)
		}
		if err != nil && !strings.Contains(err.Error(), "was moved") {
			t.Errorf("ended with %v", err)
		}
	}
	stop.Store(true)
	<-ended
}

// What nobody can read nobody can count, unless it is another user's.
func TestCountOfWhatCannotBeRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to have folders of several users")
	}
	const user = 1000
	top := t.TempDir()
	must(t, os.Chmod(filepath.Dir(top), 0o755))
	for _, name := range []string{"file", "lost+found/file", "a/closed/file"} {
		write(t, filepath.Join(top, name), 1)
	}
	for _, name := range []string{"", "a", "a/closed"} {
		must(t, os.Chown(filepath.Join(top, name), user, user))
	}
	as := func() string {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{helper + "=" + top}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	// Three folders and two files that can be seen.
	if got := as(); got != "5\n<nil>\n" {
		t.Errorf("beside another's folder: %q", got)
	}
	must(t, os.Chmod(top+"/a/closed", 0))
	if got := as(); !strings.Contains(got, "a/closed: permission denied") {
		t.Errorf("beside an own folder: %q", got)
	}
	if _, err := count(t, top); err != nil {
		t.Errorf("root: %v", err)
	}
}

// Other file systems below the folder are none of its business.
func TestCountOfAMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	top := t.TempDir()
	write(t, top+"/file", 1)
	must(t, os.Mkdir(top+"/mount", 0o700))
	if err := unix.Mount("tmpfs", top+"/mount", "tmpfs", 0, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(top+"/mount", 0)) })
	write(t, top+"/mount/file", 1<<20)
	if got, err := count(t, top); got.Files != 1 || got.Bytes >= 1<<20 || err != nil {
		t.Errorf("counted %+v, %v", got, err)
	}
}

// Whoever asks while a count goes on gets one that began later, and all who ask then
// get the same.
func TestMeter(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/file", 1)
	begun, goOn := make(chan struct{}), make(chan struct{})
	m := usage.NewMeter(func(path string) (*os.File, error) {
		begun <- struct{}{}
		<-goOn
		return os.Open(path)
	})
	defer m.Close()
	if _, known := m.Last(top); known {
		t.Error("a folder is known that nobody asked for")
	}
	figures := make(chan usage.Figure)
	ask := func() {
		figure, err := m.Count(context.Background(), top)
		if err != nil {
			t.Error(err)
		}
		figures <- figure
	}
	go ask()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Count(ctx, top); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	goOn <- struct{}{}
	if got := <-figures; got.Files != 1 {
		t.Errorf("the first: %+v", got)
	}
	<-begun // the one that nobody waits for any more
	write(t, top+"/second", 1)
	go ask()
	goOn <- struct{}{}
	for got := (usage.Figure{}); got.Files == 0; {
		select {
		case <-begun:
			goOn <- struct{}{}
		case got = <-figures:
			if got.Files != 2 || got.Err != nil || got.Left.Bytes == 0 {
				t.Errorf("the second: %+v", got)
			}
		}
	}
	if last, known := m.Last(top); !known || last.Files != 2 {
		t.Errorf("the last: %+v", last)
	}
}

func TestMeterOfNothing(t *testing.T) {
	m := usage.NewMeter(os.Open)
	defer m.Close()
	if figure, err := m.Count(t.Context(), t.TempDir()+"/none"); err != nil || !errors.Is(figure.Err, os.ErrNotExist) {
		t.Errorf("%+v, %v", figure, err)
	}
}

// A closed meter leaves nobody waiting.
func TestMeterCloses(t *testing.T) {
	begun := make(chan struct{})
	closing := make(chan struct{})
	m := usage.NewMeter(func(path string) (*os.File, error) {
		close(begun)
		<-closing
		return os.Open(path)
	})
	ended := make(chan error)
	go func() {
		_, err := m.Count(context.Background(), "/")
		ended <- err
	}()
	<-begun
	closed := make(chan struct{})
	go func() { m.Close(); close(closed) }()
	if err := <-ended; err == nil {
		t.Error("counted")
	}
	close(closing)
	<-closed
	if _, err := m.Count(t.Context(), "/"); err == nil {
		t.Error("counted when it was closed")
	}
}

// The nearer a limit, the sooner; the dearer a count, the later.
func TestDue(t *testing.T) {
	const gib = 1 << 30
	rule := policy.Rule{Tool: policy.Rsync, Quota: policy.LimitOf(100 * gib), MaxFiles: policy.LimitOf(10_000_000)}
	for name, c := range map[string]struct {
		figure usage.Figure
		lost   usage.Left
		want   time.Duration
	}{
		"far":                       {usage.Figure{Usage: policy.Usage{Bytes: 1 * gib}}, usage.Left{}, time.Minute},
		"nearer":                    {usage.Figure{Usage: policy.Usage{Bytes: 90 * gib}}, usage.Left{}, 10 * time.Second},
		"near":                      {usage.Figure{Usage: policy.Usage{Bytes: 100*gib - 1}}, usage.Left{}, time.Second},
		"over":                      {usage.Figure{Usage: policy.Usage{Bytes: 200 * gib}}, usage.Left{}, time.Second},
		"near, and dear":            {usage.Figure{Usage: policy.Usage{Bytes: 100*gib - 1}, Cost: time.Minute}, usage.Left{}, 9 * time.Minute},
		"far, with less room":       {usage.Figure{Usage: policy.Usage{Bytes: 1 * gib}}, usage.Left{Bytes: 100 * gib}, time.Second},
		"dear, and less room":       {usage.Figure{Usage: policy.Usage{Bytes: 1 * gib}, Cost: time.Minute}, usage.Left{Bytes: 100 * gib}, time.Minute},
		"far, and less by far less": {usage.Figure{Usage: policy.Usage{Bytes: 1 * gib}}, usage.Left{Bytes: 50 * gib}, time.Minute},
		"far, with fewer inodes":    {usage.Figure{}, usage.Left{Inodes: 10_000_001}, time.Second},
		"files near":                {usage.Figure{Usage: policy.Usage{Files: 9_999_999}}, usage.Left{}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			had := usage.Left{Bytes: 1 << 50, Inodes: 1 << 40}
			c.figure.Left, c.figure.Ended = had, time.Unix(1_000_000, 0)
			left := usage.Left{Bytes: had.Bytes - c.lost.Bytes, Inodes: had.Inodes - c.lost.Inodes}
			due := func(after time.Duration) bool { return c.figure.Due(rule, c.figure.Ended.Add(after), left) }
			if due(c.want-1) || !due(c.want) {
				t.Errorf("due %v and %v around %s", due(c.want-1), due(c.want), c.want)
			}
		})
	}
}
