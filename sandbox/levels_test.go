package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/sandbox"
)

// nobody is a user that owns nothing of the host.
var nobody = sandbox.User{UID: 65534, GID: 65534}

// asNobody is an order's user: nobody where root may choose.
func asNobody() *sandbox.User {
	if os.Getuid() == 0 {
		return &nobody
	}
	return me()
}

var levels = []sandbox.Level{sandbox.None, sandbox.Namespaces, sandbox.Landlock, sandbox.Full}

// at skips unless this host gives the level.
func at(t testing.TB, o sandbox.Order, l sandbox.Level) sandbox.Order {
	t.Helper()
	if got := sandbox.Probe(self).Level; !got.Includes(l) {
		t.Skipf("this host gives %s, and the test needs %s", got, l)
	}
	o.Least, o.Most, o.Dir = l, l, "/"
	return o
}

// Signals must do to a program below the helper what they do to any other, and
// its end must reach the gateway as it was.
func TestExitAtEachLevel(t *testing.T) {
	for _, l := range levels {
		t.Run(l.String(), func(t *testing.T) {
			for script, want := range map[string]sandbox.Exit{
				`exit 0`:        {},
				`exit 255`:      {Status: 255},
				`kill -TERM $$`: {Signal: syscall.SIGTERM},
				`kill -SEGV $$`: {Signal: syscall.SIGSEGV},
				`kill -KILL $$`: {Signal: syscall.SIGKILL},
			} {
				p := start(t, at(t, shell(t, script), l))
				if got := p.Wait(); got != want || p.Level() != l {
					t.Errorf("%s: got %+v at %s, want %+v", script, got, p.Level(), want)
				}
			}
		})
	}
}

// A program that does not handle TERM has its default action, which the first
// process of a namespace has not.
func TestTermEndsAProgramThatDoesNotHandleIt(t *testing.T) {
	for _, l := range levels {
		p := start(t, at(t, shell(t, `echo 1; read x`), l))
		readPid(t, p.Stdout)
		p.End(time.Minute)
		if got := p.Wait(); got.Signal != syscall.SIGTERM {
			t.Errorf("%s: ended with %+v", l, got)
		}
	}
}

// With a process namespace nothing outlives the child, not even what left its
// group.
func TestWhatLeavesTheGroupEndsWithTheNamespace(t *testing.T) {
	o := at(t, shell(t, `(sleep 600 &) ; exec setsid sh -c 'trap "" TERM HUP; echo 1; read x' <&0`), sandbox.Namespaces)
	o.Reads = []string{"/usr/bin"}
	p := start(t, o)
	readPid(t, p.Stdout)
	p.Kill()
	if got := p.Wait(); got.Signal != syscall.SIGKILL {
		t.Errorf("ended with %+v", got)
	}
	// The pipe has no writer left, or this would wait.
	if _, err := p.Stdout.Read(make([]byte, 1)); err == nil {
		t.Error("somebody still writes")
	}
}

func TestStartRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*sandbox.Order){
		"path that is relative":        func(o *sandbox.Order) { o.Paths = []sandbox.Path{{Path: "srv"}} },
		"path that is not clean":       func(o *sandbox.Order) { o.Paths = []sandbox.Path{{Path: "/srv/../etc"}} },
		"path that is the root":        func(o *sandbox.Order) { o.Paths = []sandbox.Path{{Path: "/"}} },
		"path that does not exist":     func(o *sandbox.Order) { o.Paths = []sandbox.Path{{Path: "/srv/none"}} },
		"path that is a file":          func(o *sandbox.Order) { o.Paths = []sandbox.Path{{Path: "/etc/passwd"}} },
		"more at least than at most":   func(o *sandbox.Order) { o.Least, o.Most = sandbox.Full, sandbox.Landlock },
		"the one for want of other":    func(o *sandbox.Order) { o.Least, o.Most = sandbox.Namespaces, sandbox.Landlock },
		"folder that nobody can see":   func(o *sandbox.Order) { *o = at(t, *o, sandbox.Full); o.Dir = "/srv" },
		"read of what is relative":     func(o *sandbox.Order) { o.Reads = []string{"lib"} },
		"scratch folder that is dirty": func(o *sandbox.Order) { o.Scratch = "/tmp/" },
	} {
		t.Run(name, func(t *testing.T) {
			o := shell(t, `true`)
			spoil(&o)
			if p, err := sandbox.Start(self, o); err == nil {
				t.Errorf("ended with %+v", p.Wait())
			}
		})
	}
}

func TestRootIsNobodyByAccident(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	o := shell(t, `true`)
	o.User = nil
	if p, err := sandbox.Start(self, o); err == nil {
		t.Errorf("ran as root without its name: %+v", p.Wait())
	}
}

// Between the decision and the start someone puts another folder in the place
// of the rule's, or a link to one.
func TestSwappedPathIsRefused(t *testing.T) {
	for _, l := range levels {
		for name, swap := range map[string]func(path, other string) error{
			"folder": func(path, other string) error { return os.Rename(other, path) },
			"link":   func(path, other string) error { return os.Symlink(other, path) },
			"hole":   func(string, string) error { return nil },
		} {
			t.Run(l.String()+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				path, other := filepath.Join(dir, "path"), filepath.Join(dir, "other")
				if err := errors.Join(os.Mkdir(path, 0o755), os.Mkdir(other, 0o755)); err != nil {
					t.Fatal(err)
				}
				folder, err := sandbox.OpenPath(path)
				if err != nil {
					t.Fatal(err)
				}
				defer folder.Close()
				if err := errors.Join(os.Rename(path, path+".moved"), swap(path, other)); err != nil {
					t.Fatal(err)
				}
				o := at(t, shell(t, `true`), l)
				o.Paths = []sandbox.Path{{Path: path, Folder: folder}}
				if p, err := sandbox.Start(self, o); err == nil {
					t.Errorf("ended with %+v", p.Wait())
				}
			})
		}
	}
}

func TestOpenPathFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "real", "deep"), 0o755), os.Symlink("real", filepath.Join(dir, "link")),
		os.Symlink("real/deep", filepath.Join(dir, "short")), os.Symlink("loop", filepath.Join(dir, "loop")),
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"real": "", "real/deep": "", "link": "symbolic link", "link/deep": "symbolic link", "short": "symbolic link", "loop": "symbolic link",
		"file": "not a directory", "file/x": "not a directory", "none": "no such file", "real/../real": "clean",
	} {
		f, err := sandbox.OpenPath(dir + "/" + name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		f.Close()
	}
}

func TestLevelsAreReadAsTheyAreWritten(t *testing.T) {
	for _, l := range levels {
		if got, err := sandbox.ParseLevel(l.String()); got != l || err != nil {
			t.Errorf("%s is read as %s, %v", l, got, err)
		}
	}
	for _, name := range []string{"", "Full", "Level(0)", "best"} {
		if got, err := sandbox.ParseLevel(name); err == nil {
			t.Errorf("%q is read as %s", name, got)
		}
	}
}

func TestALevelIncludesNoOtherMeans(t *testing.T) {
	includes := map[sandbox.Level][]sandbox.Level{
		sandbox.None:       {sandbox.None},
		sandbox.Namespaces: {sandbox.None, sandbox.Namespaces},
		sandbox.Landlock:   {sandbox.None, sandbox.Landlock},
		sandbox.Full:       levels,
	}
	for _, l := range levels {
		for _, least := range append(levels, 0) {
			if got := l.Includes(least); got != slices.Contains(includes[l], least) {
				t.Errorf("%s includes %s: %v", l, least, got)
			}
		}
	}
}
