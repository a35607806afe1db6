package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"postern/policy"
)

const (
	// blockSize is the unit of st_blocks, whatever the file system's own is.
	blockSize = 512
	// batch is how many names are read at once.
	batch = 1024
	// tries is how often a count begins again because folders were moved under it.
	tries = 3
)

// errMoved is a folder that is elsewhere than it was when the count entered it.
var errMoved = errors.New("a folder was moved while it was counted")

// Count counts what the folder holds, without the folder itself. It follows no
// symbolic link and leaves neither the folder nor its file system, whatever is moved
// meanwhile. It holds two descriptors at a time, however deep the folders are, and
// for each 64 neighbouring inodes with several names some 20 bytes.
//
// A folder in it that cannot be read is an error, since nobody knows what is in there;
// but not one of another user, such as lost+found: the children of a gateway without
// root are its own user, and make none of that kind. The caller closes folder, which
// may be open for reference only.
func Count(ctx context.Context, folder *os.File) (policy.Usage, error) {
	var err error
	for range tries {
		var u policy.Usage
		if u, err = countOnce(ctx, folder); !errors.Is(err, errMoved) {
			return u, err
		}
	}
	return policy.Usage{}, err
}

func countOnce(ctx context.Context, folder *os.File) (policy.Usage, error) {
	c := &count{ctx: ctx, seen: map[uint64]uint64{}}
	top, err := list(int(folder.Fd()), ".")
	if err != nil {
		return policy.Usage{}, fmt.Errorf("count %s: %w", folder.Name(), err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(top.Fd()), &stat); err != nil {
		top.Close()
		return policy.Usage{}, fmt.Errorf("count %s: %w", folder.Name(), err)
	}
	c.dev = uint64(stat.Dev)
	top, err = c.enter(top, stat.Ino)
	top.Close()
	if err != nil {
		return policy.Usage{}, fmt.Errorf("count %s: %w", folder.Name(), err)
	}
	return c.usage, nil
}

// list opens a folder in another one to list it.
func list(folder int, name string) (*os.File, error) {
	fd, err := unix.Openat(folder, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// count is a count in progress.
type count struct {
	ctx   context.Context
	dev   uint64
	usage policy.Usage
	// seen has a bit for each inode with several names, 64 to an element: those of
	// one backup lie side by side.
	seen map[uint64]uint64
}

// enter counts what is in a folder of that inode number. It takes the file over, and
// returns one of the same folder, which the caller closes, with an error too.
func (c *count) enter(folder *os.File, ino uint64) (*os.File, error) {
	names, err := c.entries(folder)
	for _, name := range names {
		if err != nil {
			break
		}
		folder, err = c.descend(folder, ino, name)
	}
	return folder, err
}

// descend counts a folder in another one, whose file it closes meanwhile and opens
// again: on the way up, it must be the one that it was on the way down.
func (c *count) descend(from *os.File, ino uint64, name string) (*os.File, error) {
	folder, err := list(int(from.Fd()), name)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return from, nil // it is gone, or something else by now
	case errors.Is(err, unix.EACCES) && foreign(int(from.Fd()), name):
		return from, nil
	case err != nil:
		return from, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &stat); err != nil || uint64(stat.Dev) != c.dev {
		folder.Close()
		return from, err
	}
	from.Close()
	folder, err = c.enter(folder, stat.Ino)
	if err != nil {
		return folder, below(name, err)
	}
	above, err := c.leave(folder, ino)
	folder.Close()
	return above, err
}

// foreign reports whether what is in a folder belongs to somebody as whom no child
// runs: to another user than this process, unless that is root, which becomes anybody.
func foreign(folder int, name string) bool {
	var stat unix.Stat_t
	err := unix.Fstatat(folder, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && os.Geteuid() != 0 && int(stat.Uid) != os.Geteuid()
}

// below completes the path of an error with the folder that it happened in.
func below(name string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		at.Path = name + "/" + at.Path
	}
	return err
}

// leave returns the folder above one, which must have that inode number.
func (c *count) leave(folder *os.File, ino uint64) (*os.File, error) {
	fd, err := unix.Openat(int(folder.Fd()), "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return folder, err
	}
	above := os.NewFile(uintptr(fd), "..")
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return above, err
	}
	if uint64(stat.Dev) != c.dev || stat.Ino != ino {
		return above, errMoved
	}
	return above, nil
}

// entries counts everything in a folder but what is in the folders there, whose names
// it returns.
func (c *count) entries(folder *os.File) (folders []string, err error) {
	for {
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
		found, err := folder.ReadDir(batch)
		for _, entry := range found {
			isFolder, err := c.add(int(folder.Fd()), entry.Name())
			if err != nil {
				return nil, err
			}
			if isFolder {
				folders = append(folders, entry.Name())
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return folders, nil
		case err != nil:
			return nil, err
		}
	}
}

// add counts one entry of a folder, and reports whether it is a folder to be counted.
func (c *count) add(folder int, name string) (isFolder bool, err error) {
	var stat unix.Stat_t
	err = unix.Fstatat(folder, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, &fs.PathError{Op: "look at", Path: name, Err: err}
	}
	isFolder = stat.Mode&unix.S_IFMT == unix.S_IFDIR
	// Under an overlay, files can be on another device than their folders.
	if isFolder && uint64(stat.Dev) != c.dev || !isFolder && stat.Nlink > 1 && !c.first(stat.Ino) {
		return false, nil
	}
	c.usage.Files++
	c.usage.Bytes += stat.Blocks * blockSize
	return isFolder, nil
}

// first reports whether an inode is seen for the first time.
func (c *count) first(ino uint64) bool {
	const bits = 64
	bit := uint64(1) << (ino % bits)
	before := c.seen[ino/bits]
	c.seen[ino/bits] = before | bit
	return before&bit == 0
}
