package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// LogPath is what a child opens to write to its log. In a root of its own that
// is a FIFO; else it leads to a pipe that the child inherits.
const LogPath = "/dev/fd/3"

// logDescriptor is the pipe's, in the child.
const logDescriptor = 3

// log makes the FIFO of a child in its new root.
func (r *newRoot) log(o Order) error {
	path := filepath.Join(r.base, LogPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return err
	}
	if o.User == nil {
		return nil
	}
	return os.Lchown(path, int(o.User.UID), int(o.User.GID))
}

// handLog sends both ends of the FIFO to the gateway: what nobody reads could not
// be opened, and what nobody has open to write would be at its end at once.
func handLog(report *os.File) error {
	r, err := unix.Open(LogPath, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer unix.Close(r)
	w, err := unix.Open(LogPath, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer unix.Close(w)
	if err := unix.Sendmsg(int(report.Fd()), []byte{reportLog}, unix.UnixRights(r, w), nil, 0); err != nil {
		return fmt.Errorf("hand over the log: %w", err)
	}
	return nil
}

// keepLog gives the child the pipe of its log, which came as another descriptor.
func keepLog(from int) error { return unix.Dup3(from, logDescriptor, 0) }

// pipesLog reports whether the child's log is a pipe that it inherits.
func (p plan) pipesLog(o Order) bool { return o.Log && !p.Level.namespaces() }

// logPipe makes both ends of that pipe. It must belong to the child, who opens it
// by its name.
func (l *launch) logPipe(o Order) ([]*os.File, error) {
	r, w, err := l.pipe()
	if err == nil && o.User != nil {
		err = w.Chown(int(o.User.UID), int(o.User.GID))
	}
	return []*os.File{r, w}, err
}

// reports makes the socket over which the helper reports: the gateway's end, and
// the helper's.
func (l *launch) reports() (*net.UnixConn, *os.File, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "report"), os.NewFile(uintptr(ends[1]), "report")
	l.open = append(l.open, ours, theirs)
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// readReport reads what a helper reports until it closes its end, and returns
// the words and the files that came with them.
func readReport(report *net.UnixConn, deadline time.Time) (words []byte, files []*os.File, err error) {
	if err := report.SetReadDeadline(deadline); err != nil {
		return nil, nil, err
	}
	buffer, rights := make([]byte, maxReport), make([]byte, unix.CmsgSpace(2*4))
	for len(words) < maxReport {
		n, m, _, _, err := report.ReadMsgUnix(buffer, rights)
		words = append(words, buffer[:n]...)
		files = append(files, sentFiles(rights[:m])...)
		if errors.Is(err, io.EOF) {
			return words, files, nil
		}
		if err != nil {
			return words, files, err
		}
	}
	return words, files, nil
}

// sentFiles are the files in a control message.
func sentFiles(message []byte) []*os.File {
	parts, err := unix.ParseSocketControlMessage(message)
	if err != nil {
		return nil
	}
	var files []*os.File
	for _, part := range parts {
		fds, err := unix.ParseUnixRights(&part)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			// So that its reads have deadlines.
			_ = unix.SetNonblock(fd, true)
			files = append(files, os.NewFile(uintptr(fd), LogPath))
		}
	}
	return files
}

// takeLog gives the process the ends of its log.
func (p *Process) takeLog(ends []*os.File) {
	if len(ends) == 2 {
		p.Log, p.logEnd = ends[0], ends[1]
		return
	}
	for _, f := range ends {
		f.Close()
	}
}
