package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenPath opens the folder at a clean absolute path for reference only (O_PATH).
// It follows no symbolic link on the way: whoever can place one would choose what
// a child is held to.
//
// The caller closes the file. It stays the same folder when the path is moved
// or replaced, which [Start] notices.
func OpenPath(path string) (*os.File, error) {
	if !isPlace(path) {
		return nil, fmt.Errorf("path %q is not the clean absolute path of a folder below the root", path)
	}
	at, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for _, name := range names(path) {
		next, err := enter(at, name)
		unix.Close(at)
		if err != nil {
			return nil, fmt.Errorf("open %s: %q %w", path, name, err)
		}
		at = next
	}
	return os.NewFile(uintptr(at), path), nil
}

// errLink is a symbolic link where a folder should be.
var errLink = errors.New("is a symbolic link now; name the real path, or find out who replaced the folder")

// enter opens a folder by its name in another one.
func enter(folder int, name string) (int, error) {
	fd, err := unix.Openat(folder, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		if _, link := unix.Readlinkat(folder, name, make([]byte, 1)); link == nil {
			return -1, errLink
		}
	}
	if err != nil {
		return -1, fmt.Errorf("cannot be entered: %w", err)
	}
	return fd, nil
}

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
