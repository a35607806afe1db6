package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"postern/internal/durable"
)

// holdPause is between two attempts to take a folder that somebody holds, which nobody
// does for longer than a moment.
const holdPause = 20 * time.Millisecond

// Hold takes the folder of sockets for this process until release is called, and makes
// it where there is none. It waits for whoever has it, until the context is done.
//
// Whoever holds it knows that no gateway begins or ceases to listen there meanwhile: a
// gateway holds it for both.
func Hold(ctx context.Context, path string) (release func(), err error) {
	if err := durable.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil // which ends the lock
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another process holds %s: %w", path, ctx.Err()), f.Close())
		case <-time.After(holdPause):
		}
	}
}

// openFolder opens the folder of sockets. A link in its place would let whoever can
// write the state have root work elsewhere.
func openFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is no folder; move it away", path)
	}
	return f, err
}

// ownerOf returns the user that an open folder belongs to.
func ownerOf(folder *os.File) (uid uint32, mode fs.FileMode, err error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &stat); err != nil {
		return 0, 0, fmt.Errorf("look at %s: %w", folder.Name(), err)
	}
	return stat.Uid, fs.FileMode(stat.Mode).Perm(), nil
}

// inside is a path to a name in an open folder that fits into an address of a socket,
// 108 bytes, however long the folder's own path is. It holds while the folder is open.
func inside(folder *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name)
}

var socketNames = regexp.MustCompile(`^([1-9][0-9]{0,9})\.sock$`)

func socketName(pid int) string { return strconv.Itoa(pid) + ".sock" }

// sockets returns the processes that an open folder has names of sockets of, the lowest
// first.
func sockets(folder *os.File) ([]int, error) {
	// Not the descriptor itself, which remembers how far it was read.
	entries, err := os.ReadDir(inside(folder, "."))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", folder.Name(), err)
	}
	var all []int
	for _, entry := range entries {
		if parts := socketNames.FindStringSubmatch(entry.Name()); parts != nil {
			pid, err := strconv.Atoi(parts[1])
			if err == nil {
				all = append(all, pid)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}
