package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// entry is all that a backup is expected to bring back of one name.
type entry struct {
	path   string // for opening it
	stat   unix.Stat_t
	target string            // of a symbolic link
	xattrs map[string]string // ACLs are among them
	group  string            // the first name of its hard-link group
}

// readTree reads a folder or a single file; names are relative to root.
func readTree(root string, skip []string) (map[string]entry, error) {
	tree := map[string]entry{}
	type node struct{ dev, ino uint64 }
	groups := map[node]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(skip, func(glob string) bool { ok, _ := filepath.Match(glob, name); return ok }) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, err := readEntry(path)
		if err != nil {
			return err
		}
		id := node{e.stat.Dev, e.stat.Ino}
		if _, seen := groups[id]; !seen {
			groups[id] = name
		}
		e.group = groups[id]
		tree[name] = e
		return nil
	})
	return tree, err
}

func readEntry(path string) (entry, error) {
	e := entry{path: path}
	if err := unix.Lstat(path, &e.stat); err != nil {
		return e, fmt.Errorf("%q: %w", path, err)
	}
	if e.kind() == unix.S_IFLNK {
		target, err := os.Readlink(path)
		if err != nil {
			return e, err
		}
		e.target = target
	}
	var err error
	e.xattrs, err = readXattrs(path)
	return e, err
}

func (e entry) kind() uint32 { return e.stat.Mode & unix.S_IFMT }

func readXattrs(path string) (map[string]string, error) {
	n, err := unix.Llistxattr(path, nil)
	if err == unix.EOPNOTSUPP || err == nil && n == 0 {
		return nil, nil
	}
	names := make([]byte, 64<<10)
	if err == nil {
		n, err = unix.Llistxattr(path, names)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: listxattr: %w", path, err)
	}
	values := map[string]string{}
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, fmt.Errorf("%q: xattr %s: %w", path, name, err)
		}
		values[name] = string(value[:n])
	}
	return values, nil
}

// kinds of differences that a comparison can be told to ignore.
var kindsOfDifference = []string{
	"mtime",    // modification times
	"ns",       // their fraction of a second, which protocols before 31 have not
	"dirmtime", // those of folders
	"linkmtime",
	"mode", "owner", "xattr",
	"links", // which names are one file
}

// sameTree lists what differs between two trees, at most 40 lines.
func sameTree(a, b string, ignore, skip []string) ([]string, error) {
	return (&world{}).sameTree(a, b, ignore, skip)
}

// sameTree is [sameTree] that knows how links look on the world's server.
func (w *world) sameTree(a, b string, ignore, skip []string) ([]string, error) {
	for _, kind := range ignore {
		if !slices.Contains(kindsOfDifference, kind) {
			return nil, fmt.Errorf("cannot ignore %q, only %q", kind, kindsOfDifference)
		}
	}
	left, err := readTree(a, skip)
	if err != nil {
		return nil, err
	}
	right, err := readTree(b, skip)
	if err != nil {
		return nil, err
	}
	w.readInert(left)
	w.readInert(right)
	var found []string
	for _, name := range slices.Sorted(maps.Keys(left)) {
		other, ok := right[name]
		if !ok {
			found = append(found, fmt.Sprintf("%q: only in %s", name, a))
			continue
		}
		differences, err := compare(left[name], other, ignore)
		if err != nil {
			return nil, err
		}
		for _, d := range differences {
			found = append(found, fmt.Sprintf("%q: %s", name, d))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(right)) {
		if _, ok := left[name]; !ok {
			found = append(found, fmt.Sprintf("%q: only in %s", name, b))
		}
	}
	if len(found) > 40 {
		found = append(found[:40], fmt.Sprintf("and %d more", len(found)-40))
	}
	return found, nil
}

// compare says in which ways two entries differ.
func compare(a, b entry, ignore []string) ([]string, error) {
	var found []string
	report := func(kind string, same bool, x, y any) {
		if !same && !slices.Contains(ignore, kind) {
			found = append(found, fmt.Sprintf("%s: %v and %v", kind, x, y))
		}
	}
	report("type", a.kind() == b.kind(), a.kind(), b.kind())
	if a.kind() != b.kind() {
		return found, nil
	}
	if x, y := a.stat.Mode&0o7777, b.stat.Mode&0o7777; a.kind() != unix.S_IFLNK {
		report("mode", x == y, octal(x), octal(y))
	}
	report("owner", a.stat.Uid == b.stat.Uid && a.stat.Gid == b.stat.Gid,
		[]uint32{a.stat.Uid, a.stat.Gid}, []uint32{b.stat.Uid, b.stat.Gid})
	report("target", a.target == b.target, a.target, b.target)
	report("device", a.stat.Rdev == b.stat.Rdev, a.stat.Rdev, b.stat.Rdev)
	report("links", a.group == b.group, a.group, b.group)
	report("xattr", maps.Equal(a.xattrs, b.xattrs), quoted(a.xattrs), quoted(b.xattrs))
	x, y := a.stat.Mtim, b.stat.Mtim
	if slices.Contains(ignore, "ns") {
		x.Nsec, y.Nsec = 0, 0
	}
	report(mtimeKind(a, ignore), x == y, instant(x), instant(y))
	if a.kind() != unix.S_IFREG {
		return found, nil
	}
	report("size", a.stat.Size == b.stat.Size, a.stat.Size, b.stat.Size)
	if a.stat.Size != b.stat.Size {
		return found, nil
	}
	at, err := firstDifference(a.path, b.path, a.stat.Size)
	if err == nil && at >= 0 {
		found = append(found, fmt.Sprintf("content differs from byte %d on", at))
	}
	return found, err
}

// These print themselves only when a difference is reported: most never are.
type (
	octal   uint32
	quoted  map[string]string
	instant unix.Timespec
)

func (o octal) String() string   { return fmt.Sprintf("%04o", uint32(o)) }
func (q quoted) String() string  { return fmt.Sprintf("%q", map[string]string(q)) }
func (i instant) String() string { return time.Unix(i.Sec, i.Nsec).UTC().Format(time.RFC3339Nano) }

// mtimeKind is under which name the modification time of this entry is ignored.
func mtimeKind(e entry, ignore []string) string {
	switch {
	case slices.Contains(ignore, "mtime"):
		return "mtime"
	case e.kind() == unix.S_IFDIR:
		return "dirmtime"
	case e.kind() == unix.S_IFLNK:
		return "linkmtime"
	}
	return "mtime"
}

// firstDifference compares two files of this size; -1 when they are the same.
func firstDifference(a, b string, size int64) (int64, error) {
	x, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer y.Close()
	// One byte more than the file has shows its end at the first read.
	left, right := make([]byte, min(size+1, 1<<20)), make([]byte, min(size+1, 1<<20))
	for at := int64(0); ; {
		n, err := io.ReadFull(x, left)
		m, _ := io.ReadFull(y, right)
		if n != m || !bytes.Equal(left[:n], right[:n]) {
			for i := range min(n, m) {
				if left[i] != right[i] {
					return at + int64(i), nil
				}
			}
			return at + int64(min(n, m)), nil
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// fingerprint tells of every name below the folders all that changes when
// anybody touches it: even a mode that was changed and changed back leaves
// another change time.
func fingerprint(folders ...string) (map[string]string, error) {
	prints := map[string]string{}
	for _, folder := range folders {
		tree, err := readTree(folder, nil)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for name, e := range tree {
			s := e.stat
			text := fmt.Sprintf("mode %o, owner %d:%d, inode %d, links %d, size %d, modified %d, changed %d, target %q, xattrs %q",
				s.Mode, s.Uid, s.Gid, s.Ino, s.Nlink, s.Size, s.Mtim.Nano(), s.Ctim.Nano(), e.target, e.xattrs)
			if e.kind() == unix.S_IFREG {
				content, err := os.ReadFile(e.path)
				if err != nil {
					return nil, err
				}
				text += fmt.Sprintf(", sha256 %x", sha256.Sum256(content))
			}
			prints[filepath.Join(folder, name)] = text
		}
	}
	return prints, nil
}

// changes lists what differs between two results of fingerprint.
func changes(before, after map[string]string) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[name]; !ok {
			found = append(found, fmt.Sprintf("%q is gone", name))
		} else if now != before[name] {
			found = append(found, fmt.Sprintf("%q was %s\n  and is %s", name, before[name], now))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			found = append(found, fmt.Sprintf("%q is new: %s", name, after[name]))
		}
	}
	return found
}
