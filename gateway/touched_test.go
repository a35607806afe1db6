package gateway

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"postern/audit"
	"postern/internal/rsynclog"
	"postern/policy"
)

// heard reads a log of an rsync with these arguments, and returns what was recorded.
func heard(t *testing.T, dir string, direction policy.Direction, detail audit.Detail, args []string, fails bool, lines ...[]string) (*touched, []audit.File) {
	t.Helper()
	d := policy.Decision{Tool: policy.Rsync, Direction: direction, Dir: dir, Args: append([]string{"rsync", "--server", "--", "."}, args...)}
	var recorded []audit.File
	c := newTouched(d, "S")
	c.detail = detail
	c.record = func(files []audit.File) error {
		if fails {
			return errors.New("no room")
		}
		if len(files) > maxFiles {
			t.Errorf("%d files in one record", len(files))
		}
		recorded = append(recorded, slices.Clone(files)...)
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for _, fields := range lines {
			io.WriteString(w, "S+\x1f"+strings.Join(fields, "\x1f")+"S-\n")
		}
		w.Close()
	}()
	c.follow(r, nil)
	return c, recorded
}

func names(files []audit.File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Name)
	}
	return all
}

// TestPlaces wants names below the rule's folder, whatever rsync was told to work
// on.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir+"/folder")
	for name, c := range map[string]struct {
		direction policy.Direction
		args      []string
		told      string
		want      string
	}{
		"push":                         {policy.Push, []string{dir + "/folder"}, "a/b", "folder/a/b"},
		"push, relative":               {policy.Push, []string{"folder/"}, "a/b/", "folder/a/b"},
		"push of one file":             {policy.Push, []string{dir + "/new name"}, "a", "new name"},
		"push to the folder itself":    {policy.Push, []string{dir}, "./", "."},
		"pull":                         {policy.Pull, []string{dir + "/folder/"}, dir[1:] + "/folder/a", "folder/a"},
		"pull, relative":               {policy.Pull, []string{"folder/"}, "folder/a", "folder/a"},
		"pull, both, the absolute one": {policy.Pull, []string{"folder/", dir + "/other"}, dir[1:] + "/other", "other"},
		"pull, both, the relative one": {policy.Pull, []string{"folder/", dir + "/other"}, "folder/a", "folder/a"},
		"pull of a name that looks so": {policy.Pull, []string{"folder/"}, dir[1:] + "/x", dir[1:] + "/x"},
	} {
		operation, changes := "recv", ">f+++++++++"
		if c.direction == policy.Pull {
			operation, changes = "send", "<f+++++++++"
		}
		_, files := heard(t, dir, c.direction, audit.AllFiles, c.args, false, []string{operation, changes, "1", c.told})
		if got := names(files); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestDetail wants counts whatever is recorded, and to know what could not be.
func TestDetail(t *testing.T) {
	lines := [][]string{
		{"recv", ">f+++++++++", "1", "new"}, {"recv", ">f.st......", "1", "edited"}, {"del.", "*deleting  ", "0", "old/"},
		{"recv", ".d..t......", "1", "time/"}, {"recv", ".f         ", "1", "untouched"}, {"recv", "cd+++++++++", "1", "folder/"},
	}
	all := audit.FileCounts{Created: 2, Changed: 1, Deleted: 1}
	for detail, want := range map[audit.Detail][]string{
		"":                {"new", "edited", "old", "time", "folder"},
		audit.AllFiles:    {"new", "edited", "old", "time", "folder"},
		audit.ChangesOnly: {"new", "edited", "old", "folder"},
		audit.CountsOnly:  nil,
	} {
		dir := t.TempDir()
		c, files := heard(t, dir, policy.Push, detail, []string{dir}, false, lines...)
		if got := names(files); !slices.Equal(got, want) || c.counts != all {
			t.Errorf("%q: %q, %+v, want %q", detail, got, c.counts, want)
		}
		lost := all
		lost.Unrecorded = int64(len(want))
		if c, _ := heard(t, dir, policy.Push, detail, []string{dir}, true, lines...); c.counts != lost {
			t.Errorf("%q without room: %+v, want %+v", detail, c.counts, lost)
		}
	}
}

// TestFilesComeInPortions wants every file of many, with no record beyond its
// bounds.
func TestFilesComeInPortions(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("long/", 100)
	var lines [][]string
	for range 2000 {
		lines = append(lines, []string{"recv", ">f+++++++++", "1", "short"}, []string{"recv", ">f+++++++++", "1", long})
	}
	c, files := heard(t, dir, policy.Push, audit.AllFiles, []string{dir}, false, lines...)
	if len(files) != len(lines) || c.counts.Created != int64(len(lines)) {
		t.Errorf("%d files, %+v, want %d", len(files), c.counts, len(lines))
	}
	c.recorded = maxRecorded
	c.take(rsynclog.Item{Operation: "recv", Changes: ">f+++++++++", Name: "one too many"})
	if len(c.waiting) != 0 || c.counts.Unrecorded != 1 {
		t.Errorf("%d wait, %+v", len(c.waiting), c.counts)
	}
}

// TestLogWithoutAnEnd wants the reader to stop once the child has ended and nothing
// comes any more, though somebody holds the log open.
func TestLogWithoutAnEnd(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c := newTouched(policy.Decision{Dir: "/", Args: []string{"rsync", "--", ".", "/"}}, "S")
	c.record = func([]audit.File) error { return nil }
	ended := make(chan struct{})
	close(ended)
	io.WriteString(w, "S+\x1frecv\x1f>f+++++++++\x1f1\x1fnameS-\n")
	c.follow(r, ended)
	if c.counts.Created != 1 {
		t.Errorf("counts %+v", c.counts)
	}
}
