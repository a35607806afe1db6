package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links the kernel itself follows in one path.
const maxLinks = 40

// OpenPath opens the folder at an absolute path for reference only (O_PATH). On
// the way it follows no symbolic link that someone other than root or this
// process's user could have placed: a link counts as theirs when it belongs to
// one of them and lies in a folder that only they can write to.
//
// The caller closes the file. It stays the same folder when the path is moved
// or replaced, which [Start] notices.
func OpenPath(path string) (*os.File, error) {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("path %q is not an absolute path", path)
	}
	fd, err := walk(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// walker goes down a path one name at a time. Its trail of descriptors starts
// at the root and ends where it stands.
type walker struct {
	trail []int
	rest  []string
	links int
}

// walk returns a descriptor of the folder at path, which it reached as
// [OpenPath] promises.
func walk(path string) (int, error) {
	w := &walker{rest: names(path)}
	defer w.release()
	if err := w.restart(); err != nil {
		return -1, err
	}
	for len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		if err := w.step(name); err != nil {
			return -1, err
		}
	}
	return unix.FcntlInt(uintptr(w.here()), unix.F_DUPFD_CLOEXEC, 0)
}

func (w *walker) here() int { return w.trail[len(w.trail)-1] }

func (w *walker) release() {
	for _, fd := range w.trail {
		unix.Close(fd)
	}
	w.trail = nil
}

// restart goes to the root.
func (w *walker) restart() error {
	w.release()
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		w.trail = []int{fd}
	}
	return err
}

func (w *walker) step(name string) error {
	if name == ".." {
		if last := len(w.trail) - 1; last > 0 {
			unix.Close(w.trail[last])
			w.trail = w.trail[:last]
		}
		return nil
	}
	fd, err := unix.Openat(w.here(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		w.trail = append(w.trail, fd)
		return nil
	case unix.S_IFLNK:
		defer unix.Close(fd)
		return w.follow(name, fd, &st)
	}
	unix.Close(fd)
	return unix.ENOTDIR
}

// follow puts the target of a link in front of what is left to go.
func (w *walker) follow(name string, link int, st *unix.Stat_t) error {
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	var folder unix.Stat_t
	if err := unix.Fstat(w.here(), &folder); err != nil {
		return err
	}
	if !ours(st.Uid) || !ours(folder.Uid) || folder.Mode&0o022 != 0 {
		return fmt.Errorf("%q is a symbolic link that others could have placed: %w; name the real path, or make its folder writable to its owner only", name, fs.ErrPermission)
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", target)
	if err != nil {
		return err
	}
	to := string(target[:n])
	w.rest = append(names(to), w.rest...)
	if filepath.IsAbs(to) {
		return w.restart()
	}
	return nil
}

// ours reports whether a user is trusted with links.
func ours(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// names splits a path at its slashes. What is left out does not move.
func names(path string) []string {
	var list []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			list = append(list, name)
		}
	}
	return list
}

// mayReach returns an error that names the first folder above a path that this
// process's user may not enter. To be placed in the path would not help: rsync
// and borg make an absolute path of every relative one.
func mayReach(path string) error {
	for i := 1; i < len(path); i++ {
		if above := path[:i]; path[i] == '/' && errors.Is(unix.Access(above, unix.X_OK), unix.EACCES) {
			return fmt.Errorf("user %d, group %d may not enter %s, in which %s lies: let others search it (chmod o+x), or use a host that gives namespaces, where what lies above a path does not matter",
				os.Geteuid(), os.Getegid(), above, path)
		}
	}
	return nil
}

// identity is what tells one file from another.
type identity struct{ dev, ino uint64 }

func identify(st *unix.Stat_t) identity { return identity{uint64(st.Dev), st.Ino} }

// identityOf is the identity of an open file.
func identityOf(fd int) (identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return identity{}, err
	}
	return identify(&st), nil
}

// identityAt is the identity of what a path leads to.
func identityAt(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, err
	}
	return identify(&st), nil
}

// errSwapped is for a path that leads elsewhere than it did when it was opened.
var errSwapped = errors.New("it was replaced since it was opened")

// same returns [errSwapped] unless path leads to the file that fd is.
func same(path string, fd int) error {
	want, err := identityOf(fd)
	if err != nil {
		return err
	}
	got, err := identityAt(path)
	if err == nil && got != want {
		err = errSwapped
	}
	return err
}
