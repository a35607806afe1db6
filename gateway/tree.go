package gateway

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxHops is how many symbolic links one path may lead through, as in the
// kernel (MAXSYMLINKS).
const maxHops = 40

// tree answers policy's questions about the file system of this host. It opens
// nothing but folders, so that a FIFO or a device does not hold it up, and on
// the way to a path it needs the right to search a folder, not to list it.
type tree struct{}

// IsDir implements [policy.Tree].
func (tree) IsDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// Exists implements [policy.Tree].
func (tree) Exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// Names implements [policy.Tree].
func (tree) Names(folder string) []string {
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), folder)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil
	}
	return names
}

// Escapes implements [policy.Tree]. What cannot be told, such as a folder that
// may not be searched, a loop, or a link of /proc that leads by no path, counts
// as an escape.
func (tree) Escapes(root, name string, follow bool) bool {
	at, err := resolve(name, follow)
	return err != nil || at != root && !strings.HasPrefix(at, strings.TrimSuffix(root, "/")+"/")
}

// errUnclear is a place that a walk cannot name.
var errUnclear = errors.New("the path leads to no place that has a name")

// resolve returns the path without symbolic links that an absolute, clean path
// leads to. From the first component on that does not exist the rest is taken
// as it is written.
func resolve(name string, follow bool) (string, error) {
	w := &walk{at: "/", rest: components(name), follow: follow}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	w.folder = fd
	defer func() { unix.Close(w.folder) }()
	for len(w.rest) > 0 {
		if err := w.step(); err != nil {
			return "", err
		}
	}
	return w.at, nil
}

// walk goes down a path, one component at a time.
type walk struct {
	folder int      // the descriptor of at
	at     string   // where the walk is, without symbolic links
	rest   []string // what is still to go
	follow bool     // whether a link in the last place is followed
	hops   int
}

// step goes one component on. It leaves the walk at its end when the component
// does not exist, or is the last one.
func (w *walk) step() error {
	name := w.rest[0]
	w.rest = w.rest[1:]
	if name == ".." {
		return w.enter("..", path.Dir(w.at))
	}
	var stat unix.Stat_t
	err := unix.Fstatat(w.folder, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENAMETOOLONG):
		w.finish(name)
		return nil
	case err != nil:
		return err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return w.enter(name, path.Join(w.at, name))
	case unix.S_IFLNK:
		if len(w.rest) > 0 || w.follow {
			return w.jump(name)
		}
	}
	w.finish(name)
	return nil
}

// finish takes what is left as it is written.
func (w *walk) finish(name string) {
	w.at = path.Join(append([]string{w.at, name}, w.rest...)...)
	w.rest = nil
}

// enter goes into a folder. That it is still one, and no link by now, is the
// kernel's to say.
func (w *walk) enter(name, at string) error {
	fd, err := unix.Openat(w.folder, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	unix.Close(w.folder)
	w.folder, w.at = fd, at
	return nil
}

// jump puts the target of a symbolic link in its place.
func (w *walk) jump(name string) error {
	if w.hops++; w.hops > maxHops {
		return unix.ELOOP
	}
	var place unix.Statfs_t
	if err := unix.Fstatfs(w.folder, &place); err != nil {
		return err
	}
	// Links of /proc such as self/root lead elsewhere than they read.
	if place.Type == unix.PROC_SUPER_MAGIC {
		return errUnclear
	}
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.folder, name, buffer)
	if err != nil {
		return err
	}
	target := string(buffer[:n])
	if n == len(buffer) || target == "" {
		return errUnclear
	}
	w.rest = append(components(target), w.rest...)
	if strings.HasPrefix(target, "/") {
		return w.enter("/", "/")
	}
	return nil
}

// components splits a path; "." and empty components say nothing.
func components(name string) []string {
	all := strings.Split(name, "/")
	kept := all[:0]
	for _, c := range all {
		if c != "" && c != "." {
			kept = append(kept, c)
		}
	}
	return kept
}
