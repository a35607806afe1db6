package writers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// held are the locks of one session.
type held []*os.File

// errLocked is a folder that somebody else has locked.
var errLocked = errors.New("another process has locked it")

// take takes all locks or none, without waiting. A folder that cannot be locked is an
// error where it should be alone; else it is passed over: whoever needs it alone is not
// let in either. The error is a [*fs.PathError] of the folder.
func take(open func(string) (*os.File, error), locks []lock) (held, error) {
	var h held
	for _, l := range locks {
		file, err := open(l.folder)
		if err == nil {
			h = append(h, file)
			err = flock(file, l.alone)
		}
		if err != nil && (l.alone || errors.Is(err, errLocked)) {
			h.release()
			return nil, &fs.PathError{Op: "lock", Path: l.folder, Err: err}
		}
	}
	return h, nil
}

// Lockable returns why a folder that is open to be read cannot be locked for one
// session alone; that somebody has locked it is no reason. For an instant it has the
// lock.
func Lockable(folder *os.File) error {
	err := flock(folder, true)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err == nil {
		_ = unix.Flock(int(folder.Fd()), unix.LOCK_UN)
	}
	return err
}

func flock(file *os.File, alone bool) error {
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	for {
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		case err != nil:
			return fmt.Errorf("its file system does not lock folders: %w", err)
		default:
			return nil
		}
	}
}

// release undoes the locks by name: a child that is being started has the files open
// until it becomes another program.
func (h held) release() {
	for _, file := range h {
		_ = unix.Flock(int(file.Fd()), unix.LOCK_UN)
		file.Close()
	}
}
