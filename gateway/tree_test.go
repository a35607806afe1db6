package gateway

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postern/policy"
)

var _ policy.Tree = tree{}

// plant makes a folder with a rule's root, a sibling, and what a client could
// put between them.
func plant(t *testing.T) (base string) {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"k1/sub/deep", "k1-evil", "k2"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"k1/file", "k2/secret"} {
		if err := os.WriteFile(filepath.Join(base, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(base, "k1/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"out":         "../k2",
		"out-abs":     base + "/k2",
		"out-evil":    "../k1-evil",
		"out-root":    "/",
		"out-new":     "../k2/new",
		"out-passwd":  "/etc/passwd",
		"in":          "sub/deep",
		"in-abs":      base + "/k1/sub",
		"in-round":    "../k1/sub",
		"in-dots":     "sub/../sub/./deep//",
		"sub/up":      "..",
		"sub/up2":     "../..",
		"loop":        "loop",
		"ping":        "pong",
		"pong":        "ping",
		"chain":       "chain2",
		"chain2":      "out",
		"gone":        "nowhere/at/all",
		"gone-dots":   "nowhere/../../k2",
		"proc-root":   "/proc/self/root" + base + "/k1",
		"proc-cwd":    "/proc/self/cwd",
		"to-file":     "file",
		"out-by-file": "file/../../k2",
	} {
		if err := os.Symlink(target, filepath.Join(base, "k1", link)); err != nil {
			t.Fatal(err)
		}
	}
	previous := "sub"
	for i := range maxHops + 1 {
		name := "hop" + strings.Repeat("x", i)
		if err := os.Symlink(previous, filepath.Join(base, "k1", name)); err != nil {
			t.Fatal(err)
		}
		previous = name
	}
	return base
}

func TestEscapes(t *testing.T) {
	base := plant(t)
	for _, c := range []struct {
		path       string
		follow     bool
		want       bool
		withFollow bool
	}{
		{path: "k1"},
		{path: "k1/sub/deep"},
		{path: "k1/file"},
		{path: "k1/fifo"},
		{path: "k1/none/at/all"},
		{path: "k1/in"},
		{path: "k1/in/none"},
		{path: "k1/in-abs/deep"},
		{path: "k1/in-round/deep"},
		{path: "k1/in-dots/none"},
		{path: "k1/sub/up/file"},
		{path: "k1/to-file"},
		{path: "k1/gone"},
		{path: "k1/gone/none"},
		{path: "k1/file/below"},
		{path: "k1/" + strings.Repeat("n", 300)},
		{path: "k1/hop" + strings.Repeat("x", maxHops-1)},

		{path: "k2", want: true},
		{path: "k1-evil/x", want: true},
		{path: "k1-evil/none", want: true},
		{path: "k1/out", withFollow: true},
		{path: "k1/out/", withFollow: true},
		{path: "k1/out/secret", want: true},
		{path: "k1/out/new", want: true},
		{path: "k1/out-abs/secret", want: true},
		{path: "k1/out-evil/x", want: true},
		{path: "k1/out-root", withFollow: true},
		{path: "k1/out-root/etc/passwd", want: true},
		{path: "k1/out-new", withFollow: true},
		{path: "k1/out-passwd", withFollow: true},
		{path: "k1/out-by-file", withFollow: true},
		{path: "k1/chain/secret", want: true},
		{path: "k1/sub/up2/k2/secret", want: true},
		{path: "k1/sub/up2", withFollow: true},
		{path: "k1/gone-dots", withFollow: true},
		{path: "k1/loop", withFollow: true},
		{path: "k1/loop/x", want: true},
		{path: "k1/ping", withFollow: true},
		{path: "k1/proc-root/file", want: true},
		{path: "k1/proc-cwd", withFollow: true},
		{path: "k1/hop" + strings.Repeat("x", maxHops), withFollow: true},
	} {
		for _, follow := range []bool{false, true} {
			want := c.want || follow && c.withFollow
			name := filepath.Join(base, c.path)
			if got := (tree{}).Escapes(base+"/k1", name, follow); got != want {
				t.Errorf("%s, follow %v: got %v, want %v", c.path, follow, got, want)
			}
		}
	}
}

// A rule's parent may be searched but not listed, as the homes of a NAS are.
func TestEscapesNeedsNoListing(t *testing.T) {
	base := plant(t)
	if err := os.Chmod(base, 0o311); err != nil {
		t.Fatal(err)
	}
	asNobody(t, base, func() {
		if (tree{}).Escapes(base+"/k1", base+"/k1/sub", true) {
			t.Error("a folder below one that cannot be listed escapes")
		}
		if !(tree{}).Escapes(base+"/k1", base+"/k1/out/secret", true) {
			t.Error("a link out does not escape")
		}
	})
}

// What nobody could check has not been checked.
func TestEscapesWhereSearchIsForbidden(t *testing.T) {
	base := plant(t)
	if err := os.Chmod(base+"/k1/sub", 0o600); err != nil {
		t.Fatal(err)
	}
	asNobody(t, base, func() {
		if !(tree{}).Escapes(base+"/k1", base+"/k1/sub/deep", true) {
			t.Error("a path through a closed folder counts as checked")
		}
	})
}

// asNobody runs f without the right to pass by modes, which root has. The
// test's folder stays reachable.
func asNobody(t *testing.T, base string, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	if err := os.Chmod(filepath.Dir(base), 0o711); err != nil {
		t.Fatal(err)
	}
	filesystemUser(t, 65534, f)
}

func TestTreeDoesNotOpenAFifo(t *testing.T) {
	base := plant(t)
	fifo := base + "/k1/fifo"
	if (tree{}).IsDir(fifo) || !(tree{}).Exists(fifo) || (tree{}).Names(fifo) != nil {
		t.Error("a FIFO is taken for something else")
	}
}

func TestTreeLooks(t *testing.T) {
	base := plant(t)
	if !(tree{}).IsDir(base+"/k1/in") || (tree{}).IsDir(base+"/k1/file") || (tree{}).IsDir(base+"/none") {
		t.Error("IsDir is wrong")
	}
	if !(tree{}).Exists(base+"/k1/gone") || (tree{}).Exists(base+"/k1/none") {
		t.Error("Exists is wrong")
	}
	names := (tree{}).Names(base)
	slices.Sort(names)
	if !slices.Equal(names, []string{"k1", "k1-evil", "k2"}) || (tree{}).Names(base+"/none") != nil {
		t.Errorf("Names gives %q", names)
	}
}
