package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// inert is what rsync puts before the target of a link that it stores so that it
// leads nowhere (SYMLINK_PREFIX in rsync.h).
const inert = "/rsyncd-munged/"

// munges tells whether the links at a path are stored inert: at level none
// those of all clients are, on the server's side.
func (w *world) munges(path string) bool {
	if w.level != none || w.baseline {
		return false
	}
	below := func(folder string) bool { return strings.HasPrefix(path, w.path(folder)+"/") }
	return below("nas") || slices.ContainsFunc(w.folders, func(pair string) bool {
		_, folder, _ := strings.Cut(pair, "=")
		return below(folder)
	})
}

// mungeLinks makes every link of a tree inert, and changes no times: rsync leaves a
// folder as it is that was changed in the same second as its copy.
func mungeLinks(tree string) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != os.ModeSymlink {
			return err
		}
		link, err1 := readEntry(path)
		folder, err2 := readEntry(filepath.Dir(path))
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := os.Symlink(inert+link.target, path); err != nil {
			return err
		}
		return errors.Join(link.restoreTimes(path), folder.restoreTimes(filepath.Dir(path)))
	})
}

// restoreTimes gives a path the times of the entry.
func (e entry) restoreTimes(path string) error {
	at := []unix.Timespec{e.stat.Atim, e.stat.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, at, unix.AT_SYMLINK_NOFOLLOW)
}

// readInert reads the links of a tree as their client does: those that are to be
// inert without what makes them so. One that is not shows that.
func (w *world) readInert(entries map[string]entry) {
	for name, e := range entries {
		if e.kind() != unix.S_IFLNK || !w.munges(e.path) {
			continue
		}
		target, ok := strings.CutPrefix(e.target, inert)
		if !ok {
			target = "live: " + e.target
		}
		e.target = target
		entries[name] = e
	}
}
