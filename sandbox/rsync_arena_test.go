package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// harm is what an attack did outside the rule's path, or learnt of it.
type harm uint8

const (
	// reads is a file's contents, or something that only they can tell.
	reads harm = 1 << iota
	// lists is a name.
	lists
	// looks is a size, a time or whether a file is like another.
	looks
	// writes is another content, name or link.
	writes
	// changes is another mode, owner, time or attribute, and nothing graver.
	changes
)

func (h harm) String() string {
	var words []string
	for i, word := range []string{"reads", "lists", "looks", "writes", "changes"} {
		if h&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return "[" + strings.Join(words, " ") + "]"
}

// The marks by which what lies outside is known wherever it turns up. No attack
// names the unguessed file: who prints its name has listed.
const (
	secretText = "TOP-SECRET\n"
	unguessed  = "unguessed-name"
)

// secretTime is when everything outside was changed, and sourceTime is when
// everything that the client pushes was. secretUse is before both, so that the
// kernel notes the next use.
var (
	secretUse  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	secretTime = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	sourceTime = time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC)
)

// arena is where one attack happens. Everything in it belongs to the child's
// user, so that only the confinement protects it.
type arena struct {
	dir string
	// outside is beside the rule's path, which is server.
	outside, server string
	// source is what the client pushes, and back what it pulled.
	source, back string
}

// newArena makes what the attacks find: outside a few files, in the rule's path
// links that lead there, and a client that pushes files over them.
func newArena(t *testing.T, dir string, s starter) *arena {
	t.Helper()
	a := &arena{dir, dir + "/outside", dir + "/server", dir + "/client/source", dir + "/client/back"}
	var errs []error
	for path, text := range map[string]string{
		a.server + "/old": "old\n", a.server + "/hidden": "not secret\n", a.server + "/kept/file": "kept\n",
		a.source + "/old": "a newer one\n", a.source + "/planted/pushed": "pushed\n",
		a.source + "/planted/secret": "OF-ONES-OWN", a.source + "/secret": "OF-ONES-OWN",
	} {
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600))
	}
	errs = append(errs, a.makeOutside(), os.Mkdir(a.back, 0o755), os.Symlink("../outside", a.server+"/planted"), os.Symlink("../outside/secret", a.server+"/leads"))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	chown(t, dir, s.child)
	chown(t, dir+"/client", s.gateway)
	return a
}

// makeOutside makes what no attack may reach.
func (a *arena) makeOutside() error {
	errs := []error{os.MkdirAll(a.outside+"/folder", 0o755)}
	for name, text := range map[string]string{"secret": secretText, unguessed: secretText, "folder/inner": secretText, "rules": "hidden\n"} {
		errs = append(errs, os.WriteFile(filepath.Join(a.outside, name), []byte(text), 0o600))
	}
	return errors.Join(append(errs, unix.Setxattr(a.outside+"/secret", "user.mark", []byte("mark"), 0))...)
}

// settle gives everything its time, after an attack's preparations. Those that
// are alike get the secret's: their sizes are the same, and rsync then takes
// them for the same file.
func (a *arena) settle(t *testing.T, alike []string) {
	t.Helper()
	for dir, when := range map[string]time.Time{a.outside: secretTime, a.dir + "/client/source": sourceTime} {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			times := []unix.Timespec{unix.NsecToTimespec(secretUse.UnixNano()), unix.NsecToTimespec(when.UnixNano())}
			return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range alike {
		if err := os.Chtimes(filepath.Join(a.source, name), secretTime, secretTime); err != nil {
			t.Fatal(err)
		}
	}
}

// print is what can be told of one file.
type print struct {
	// content is its type, its length, its text and its number of names.
	content string
	// meta is its mode, owner, times and attributes.
	meta string
	// used is when it was last read, and modified when its content or, in a
	// folder, a name in it changed.
	used, modified time.Time
}

// fingerprint tells everything of a tree, and does not count as a use of it.
func fingerprint(t *testing.T, dir string) map[string]print {
	t.Helper()
	prints := map[string]print{}
	err := walkUnnoticed(dir, func(path string, st *unix.Stat_t, text string) {
		p := print{
			content:  fmt.Sprintf("%o %s", st.Mode&unix.S_IFMT, text),
			meta:     fmt.Sprintf("%o %d %d %d %d %s", st.Mode, st.Uid, st.Gid, st.Mtim.Nano(), st.Ctim.Nano(), attributes(path)),
			used:     time.Unix(st.Atim.Unix()),
			modified: time.Unix(st.Mtim.Unix()),
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			p.content += fmt.Sprintf(" %d", st.Nlink)
		}
		prints[path] = p
	})
	if err != nil {
		t.Fatal(err)
	}
	return prints
}

// walkUnnoticed visits a tree, the top first. The text is what a file contains
// or where a link leads.
func walkUnnoticed(path string, visit func(path string, st *unix.Stat_t, text string)) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		visit(path, &st, target)
		return err
	case unix.S_IFREG, unix.S_IFDIR:
	default:
		visit(path, &st, "")
		return nil
	}
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NOATIME|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		text, err := io.ReadAll(io.LimitReader(f, 1<<20))
		visit(path, &st, string(text))
		return err
	}
	visit(path, &st, "")
	names, err := f.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, walkUnnoticed(filepath.Join(path, name), visit))
	}
	return err
}

// attributes are those of a file with their values, access lists included.
func attributes(path string) string {
	list := make([]byte, 4<<10)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for name := range bytes.SplitSeq(list[:n], []byte{0}) {
		value := make([]byte, 4<<10)
		n, _ := unix.Lgetxattr(path, string(name), value)
		fmt.Fprintf(&all, "%s=%x ", name, value[:max(n, 0)])
	}
	return all.String()
}

// done compares what is outside with what was there. Only a confined child is
// blamed for a mere use: a file system need not note it.
func done(before, after map[string]print, l sandbox.Level) harm {
	var h harm
	for path, was := range before {
		now, ok := after[path]
		switch {
		case !ok || now.content != was.content:
			h |= writes
		case now.meta != was.meta && now.modified.After(sourceTime):
			// A time of now is a file that came or went.
			h |= writes
		case now.meta != was.meta:
			h |= changes
		}
		if l != none && ok && !now.used.Equal(was.used) {
			h |= reads
		}
	}
	if len(after) != len(before) {
		h |= writes
	}
	if h&writes != 0 {
		h &^= changes
	}
	return h
}

// learnt is what came back: in the client's output, in what it pulled and in the
// rule's path, from where it can pull.
func (a *arena) learnt(t *testing.T, output string) harm {
	t.Helper()
	h := told(output)
	for _, dir := range []string{a.back, a.server} {
		err := walkUnnoticed(dir, func(path string, st *unix.Stat_t, text string) {
			if st.Mode&unix.S_IFMT != unix.S_IFLNK {
				h |= told(text)
			}
			h |= told(filepath.Base(path))
			if dir == a.back && time.Unix(st.Mtim.Unix()).Equal(secretTime) {
				h |= looks
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
	return h
}

func told(text string) harm {
	var h harm
	for mark, means := range map[string]harm{strings.TrimSpace(secretText): reads, unguessed: lists, "2001/02/03": looks} {
		if strings.Contains(text, mark) {
			h |= means
		}
	}
	return h
}
