package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// deeds are the files of a session by what was done to them, each by its absolute
// path.
type deeds map[string][]string

// recordedFile is a file in a record, by docs/audit-format.md.
type recordedFile struct {
	Did     string `json:"did"`
	Kind    string `json:"kind"`
	Size    *int64 `json:"size"`
	Name    string `json:"name"`
	Escaped bool   `json:"name_escaped"`
}

var escapes = regexp.MustCompile(`\\(?:x[0-9a-f]{2}|u\{[0-9a-f]+\}|\\)`)

// path is the file's, byte for byte.
func (f recordedFile) path(root string) string {
	name := f.Name
	if f.Escaped {
		name = escapes.ReplaceAllStringFunc(name, func(text string) string {
			switch text[1] {
			case 'x':
				n, _ := strconv.ParseUint(text[2:], 16, 8)
				return string([]byte{byte(n)})
			case 'u':
				n, _ := strconv.ParseUint(text[3:len(text)-1], 16, 32)
				return string(rune(n))
			}
			return `\`
		})
	}
	return filepath.Join(root, name)
}

// newestFiles are those of the newest session, from the trail itself.
func (w *world) newestFiles() (deeds, error) {
	trail, err := filepath.Glob(w.path("gw/state/audit/*.jsonl"))
	if err != nil || len(trail) != 1 {
		return nil, fmt.Errorf("the files of the trail are %q: %v", trail, err)
	}
	text, err := os.ReadFile(trail[0])
	if err != nil {
		return nil, err
	}
	found := deeds{}
	var problems []error
	for line := range bytes.Lines(text) {
		var r struct {
			Message string
			Root    string
			Files   []recordedFile

			Unlogged bool
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		switch r.Message {
		case "session decided":
			found, problems = deeds{}, nil
		case "session ended":
			if r.Unlogged {
				problems = append(problems, fmt.Errorf("rsync logged nothing: %s", line))
			}
		case "files touched":
			for _, f := range r.Files {
				path := f.path(r.Root)
				found[f.Did] = append(found[f.Did], path)
				problems = append(problems, f.looksRight(path))
			}
		}
	}
	return found, errors.Join(problems...)
}

// looksRight compares what a record says of a file with the file.
func (f recordedFile) looksRight(path string) error {
	kinds := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "folder", unix.S_IFLNK: "link", unix.S_IFIFO: "special", unix.S_IFSOCK: "special"}
	e, err := readEntry(path)
	switch {
	case f.Did == "deleted":
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", f.Did, err)
	case f.Kind != kinds[e.kind()]:
		return fmt.Errorf("%q is said to be a %s, and is a %s", path, f.Kind, kinds[e.kind()])
	case f.Kind == "file" && f.Did != "attributes" && (f.Size == nil || *f.Size != e.stat.Size):
		return fmt.Errorf("%q: the size %v is recorded, not %d", path, f.Size, e.stat.Size)
	}
	return nil
}

// happened is what became of a tree.
func happened(before, after map[string]entry, folder string) deeds {
	d := deeds{}
	add := func(did, name string) { d[did] = append(d[did], filepath.Join(folder, name)) }
	for _, name := range slices.Sorted(maps.Keys(after)) {
		is := after[name]
		switch was, there := before[name]; {
		case !there:
			add("created", name)
		case was.kind() != is.kind():
			add("deleted", name)
			add("created", name)
		case is.kind() == unix.S_IFREG && was.stat.Ino != is.stat.Ino, is.kind() == unix.S_IFLNK && was.target != is.target:
			add("changed", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, there := after[name]; !there {
			add("deleted", name)
		}
	}
	return d
}

// verbAccounted: accounted FOLDER COMMAND ARG... runs a client of one session, whose
// records must say which files of the folder were created, changed and deleted. A
// file counts as changed where another was put in its place, as rsync does.
func verbAccounted(ts *testscript.TestScript, w *world, args []string) error {
	folder := ts.MkAbs(args[0])
	before, err := readTree(folder, nil)
	if err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); err != nil && !errors.As(err, &exit) {
		return err
	}
	ts.Logf("[stderr]\n%s", ts.ReadFile("stderr"))
	after, err := readTree(folder, nil)
	if err != nil {
		return err
	}
	return w.compareDeeds(happened(before, after, folder), "created", "changed", "deleted")
}

// verbSends: sends FOLDER LOCAL COMMAND ARG... runs a client that fetches the folder
// into a local one that is not there; the records must say what was sent.
func verbSends(ts *testscript.TestScript, w *world, args []string) error {
	if err := ts.Exec(args[2], args[3:]...); err != nil {
		return fmt.Errorf("%w: %s", err, ts.ReadFile("stderr"))
	}
	after, err := readTree(ts.MkAbs(args[1]), nil)
	if err != nil {
		return err
	}
	want := deeds{}
	for name := range after {
		want["sent"] = append(want["sent"], filepath.Join(ts.MkAbs(args[0]), name))
	}
	return w.compareDeeds(want, "sent", "created", "changed", "deleted")
}

func (w *world) compareDeeds(want deeds, kinds ...string) error {
	if err := w.server.(*postern).idle(); err != nil {
		return err
	}
	got, err := w.newestFiles()
	problems := []error{err}
	for _, did := range kinds {
		slices.Sort(got[did])
		// What rsync had to transfer once more it tells once more.
		got[did] = slices.Compact(got[did])
		slices.Sort(want[did])
		if !slices.Equal(got[did], want[did]) {
			problems = append(problems, fmt.Errorf("%s: recorded are %q, and it was %q", did,
				strings.Join(got[did], " "), strings.Join(want[did], " ")))
		}
	}
	return errors.Join(problems...)
}
