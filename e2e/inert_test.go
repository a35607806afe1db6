package e2e

import (
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

// mungeLinks makes every link of a tree inert.
func mungeLinks(tree string) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != os.ModeSymlink {
			return err
		}
		e, err := readEntry(path)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := os.Symlink(inert+e.target, path); err != nil {
			return err
		}
		at := []unix.Timespec{e.stat.Atim, e.stat.Mtim}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, at, unix.AT_SYMLINK_NOFOLLOW)
	})
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
