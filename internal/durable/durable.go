// Package durable changes files so that whoever reads them, even after a crash
// or a power cut, sees the old content or the new, whole.
//
// Content goes to a temporary file in the same folder, is synced, and takes its
// name in one step; then the folder is synced. The temporary file's name begins
// with a dot, so that one left behind by a crash is read by nobody, and goes with
// [RemoveLeftovers]. Callers own locking: of two that change one file at once the last
// wins.
//
// Symbolic links are not followed in the last component: the link itself is
// replaced or removed.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Create makes a file that must not exist, and returns an error that is
// [fs.ErrExist] where it does. Where root runs it, the file gets the owner of
// its folder, so that a gateway that is not root can read what root added.
func Create(path string, data []byte, mode fs.FileMode) error {
	owner, err := folderOwner(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("create %q: %w", path, err)
	}
	return put(path, data, mode, owner, exclusive)
}

// Replace gives an existing file new content. Mode and owner stay as they are.
func Replace(path string, data []byte) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("replace %q: %w", path, err)
	}
	return put(path, data, info.Mode().Perm(), ownerOf(info), os.Rename)
}

// Write gives a file new content, and makes it with the mode where there is none.
func Write(path string, data []byte, mode fs.FileMode) error {
	err := Replace(path, data)
	if errors.Is(err, fs.ErrNotExist) {
		err = Create(path, data, mode)
	}
	return err
}

// Remove removes a file. That it is gone survives a crash.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// Mkdir makes a folder that must not exist, with exactly the mode. Where root
// runs it, the folder gets the owner of the folder that it is in.
func Mkdir(path string, mode fs.FileMode) error {
	owner, err := folderOwner(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("create folder %q: %w", path, err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if err := owner.give(path); err != nil {
		return err
	}
	// Not left to Mkdir: the umask would take from it.
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// put writes the content beside path and moves it there by publish.
func put(path string, data []byte, mode fs.FileMode, owner owner, publish func(from, to string) error) error {
	temporary, err := newTemporary(path)
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	// After a rename there is nothing left to remove, and no error matters.
	defer os.Remove(temporary.Name())
	defer temporary.Close()
	if err := fill(temporary, data, mode, owner); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := publish(temporary.Name(), path); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return SyncFolder(filepath.Dir(path))
}

// fill writes and syncs the file.
func fill(f *os.File, data []byte, mode fs.FileMode, owner owner) error {
	_, err := f.Write(data)
	return errors.Join(err, owner.giveFile(f), f.Chmod(mode), f.Sync())
}

// exclusive gives the file at from the name to, which must be free.
func exclusive(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return noReplace(from, to) // exFAT and some network shares have no links
	}
	return err
}

// noReplace renames where the new name is free.
func noReplace(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// SyncFolder has what was made, renamed or removed in a folder survive a crash.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync folder %q: %w", path, err)
	}
	return nil
}

// owner is the user and group of a file.
type owner struct{ uid, gid int }

func folderOwner(path string) (owner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return owner{}, err
	}
	return ownerOf(info), nil
}

func ownerOf(info fs.FileInfo) owner {
	stat := info.Sys().(*syscall.Stat_t) // always, on the systems that build this
	return owner{int(stat.Uid), int(stat.Gid)}
}

// needed reports whether ownership has to be given: only root can, and only
// when it is not root's already.
func (o owner) needed() bool {
	return os.Geteuid() == 0 && (o.uid != 0 || o.gid != os.Getegid())
}

func (o owner) give(path string) error {
	if !o.needed() {
		return nil
	}
	return os.Lchown(path, o.uid, o.gid)
}

func (o owner) giveFile(f *os.File) error {
	if !o.needed() {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}
