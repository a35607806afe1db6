// Package claim tells what a process still works with from what one left that was
// killed: temporary files and folders are locked (flock) by who made them, and the
// kernel gives up the lock when that process ends, however it does.
//
// Where a file system knows no such locks, everything is claimed and nothing is free.
package claim

import (
	"os"

	"golang.org/x/sys/unix"
)

// Take locks a file or folder that was just made, until it is closed, and reports
// whether it is still at its path: somebody who cleans up may have found it before it
// was locked.
func Take(f *os.File, path string) bool {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	open, err1 := f.Stat()
	there, err2 := os.Lstat(path)
	return err1 == nil && err2 == nil && os.SameFile(open, there)
}

// Open opens a file or folder that may be left, and no link, and reports whether it is
// free: this user's, and nobody's who runs. The caller closes it once it is removed.
func Open(path string) (f *os.File, free bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	var stat unix.Stat_t
	if unix.Fstat(fd, &stat) == nil && int(stat.Uid) == os.Geteuid() && unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		return os.NewFile(uintptr(fd), path), true
	}
	unix.Close(fd)
	return nil, false
}
