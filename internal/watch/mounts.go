package watch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// startMounts has mounts tell of folders in whose place something was mounted, or
// comes to light again, until the function that it returns is called. A folder that is
// watched tells nothing of that. Without /proc nothing is told.
func (w *Watcher) startMounts() (stop func()) {
	// Not by os.Open: what the runtime waits for is told only once, and not to others.
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	over, end, err := os.Pipe()
	if err != nil {
		unix.Close(table)
		return func() {}
	}
	w.telling.Go(func() {
		defer unix.Close(table)
		defer over.Close()
		w.awaitMounts(table, int(over.Fd()))
	})
	return func() { end.Close() }
}

// awaitMounts waits for changes of the table of mounts, until the other end of a pipe
// is closed. Many of them come at once where a host runs containers, hence the pause.
func (w *Watcher) awaitMounts(table, over int) {
	end := unix.PollFd{Fd: int32(over), Events: unix.POLLIN}
	// "Priority" is what a change of the table is (proc_pid_mounts(5)).
	change := unix.PollFd{Fd: int32(table), Events: unix.POLLPRI}
	for {
		if !sleep(-1, end, change) || !sleep(int(quiet.Milliseconds()), end) {
			return
		}
		if !w.replaced() {
			continue
		}
		select {
		case w.mounted <- struct{}{}:
		default: // it has not been told yet
		}
	}
}

// sleep waits for so many milliseconds, or for one of the files, and reports whether to
// go on: not once something has come from the first.
func sleep(milliseconds int, files ...unix.PollFd) bool {
	for {
		_, err := unix.Poll(files, milliseconds)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && files[0].Revents == 0
		}
	}
}

// replaced reports whether some folder is not the one that is watched.
func (w *Watcher) replaced() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for folder, before := range w.folders {
		now, err := os.Stat(folder)
		if (err == nil) != (before != nil) || err == nil && !os.SameFile(now, before) {
			return true
		}
	}
	return false
}

// remember keeps which folders are watched; nil is one that is not there.
func (w *Watcher) remember(folders []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.folders = map[string]os.FileInfo{}
	for _, folder := range folders {
		info, err := os.Stat(folder)
		if err != nil {
			info = nil
		}
		w.folders[folder] = info
	}
}
