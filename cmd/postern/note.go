package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/audit"
	"postern/configs"
)

// noted makes a change, and leaves a note of it in the gateway's state, for the
// trail. What cannot be noted is not done. Without a state folder there is no
// gateway yet that could keep a trail.
func noted(state string, change audit.Change, do func() error) error {
	if _, err := os.Lstat(state); errors.Is(err, fs.ErrNotExist) {
		return do()
	}
	note, err := announce(state, change)
	if err != nil {
		return err
	}
	err = do()
	if changedNothing(err) {
		return errors.Join(err, note.Withdraw())
	}
	return errors.Join(err, note.Done(err))
}

// announce leaves the note of a change that this process is about to make.
func announce(state string, change audit.Change) (*audit.Note, error) {
	change.At, change.UID = time.Now(), os.Getuid()
	change.By, change.SudoUser, change.Terminal = userName(change.UID), os.Getenv("SUDO_USER"), terminal()
	note, err := audit.Announce(auditFolder(state), change)
	if err != nil {
		return nil, fmt.Errorf("nothing was done, because the trail cannot learn of it: %w%s", err, noteRemedy(err))
	}
	return note, nil
}

// noteRemedy is what to do about an error of the system; others say it.
func noteRemedy(err error) string {
	var system syscall.Errno
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "; run the command as root, or as the user that the gateway runs as"
	case errors.As(err, &system):
		return "; see whether its disk is full, or can only be read"
	}
	return ""
}

// changedNothing reports whether an error says that the files are as they were.
func changedNothing(err error) bool {
	var problems configs.Problems
	return errors.As(err, &problems) || errors.Is(err, fs.ErrExist)
}

// userName is the name of a user, and "" for one that this host does not know.
func userName(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return ""
	}
	return u.Username
}

// terminal is the one that this process was started from, and "" where there is
// none, as from cron.
func terminal() string {
	for _, stream := range []string{"0", "1", "2"} {
		if path, err := os.Readlink("/proc/self/fd/" + stream); err == nil && (strings.HasPrefix(path, "/dev/pts/") || strings.HasPrefix(path, "/dev/tty")) {
			return path
		}
	}
	return ""
}
