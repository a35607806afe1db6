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

	"postern/internal/unixsocket"
)

// rootedLog is the log of a child that has a root of its own.
const rootedLog = "/dev/postern-log"

// LogPlace returns the path of a log for a child that is to be held at a level, for
// [Order], and what removes it: that may be called once the child has opened it,
// must be when it has ended, and may be called again.
//
// A child without a root of its own gets a folder in which only its log lies. No
// link leads there: rsync 3.5.0 follows none where it is confined to a folder.
func LogPlace(l Level) (path string, remove func(), err error) {
	if l.namespaces() {
		return rootedLog, func() {}, nil
	}
	dir, remove, err := newTemporary(logFolder)
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		remove()
		return "", nil, err
	}
	return filepath.Join(dir, "log"), remove, nil
}

// makeLog makes a FIFO that is the child's.
func makeLog(path string, owner *User) error {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return err
	}
	if owner == nil {
		return nil
	}
	return os.Lchown(path, int(owner.UID), int(owner.GID))
}

// log makes the child's log in its new root.
func (r *newRoot) log(o Order) error {
	path := filepath.Join(r.base, o.Log)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return makeLog(path, o.User)
}

// logDescriptor is where a child without a root of its own has its log open.
const logDescriptor = 3

// logEnds is how many descriptors the helper sends for a log.
const logEnds = 2

// errNoLog is why a child ends before it has read anything: the kernel drops the
// descriptors that a receiver has no room for, and nobody would read the log.
var errNoLog = errors.New("the log did not arrive; raise the gateway's limit of open files (LimitNOFILE, ulimit -n)")

// giveLog gives the child and the gateway the log, if the order has one. In a root
// of its own it is there already. Elsewhere the child gets it open too, for reading
// and writing, as a descriptor that is negative where there is none: opening a FIFO
// that nobody reads would keep it waiting for good if the gateway was killed.
func giveLog(o Order, p plan, report *os.File) (open int, err error) {
	if o.Log == "" {
		return -1, nil
	}
	if p.Level.namespaces() {
		return -1, handLog(o.Log, report)
	}
	if err := makeLog(o.Log, o.User); err != nil {
		return -1, err
	}
	if err := handLog(o.Log, report); err != nil {
		return -1, err
	}
	return unix.Open(o.Log, unix.O_RDWR|unix.O_CLOEXEC, 0)
}

// handLog sends both ends of the FIFO to the gateway: what nobody reads could not
// be opened, and what nobody has open to write would be at its end at once.
func handLog(path string, report *os.File) error {
	r, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer unix.Close(r)
	w, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer unix.Close(w)
	if err := unix.Sendmsg(int(report.Fd()), []byte{reportLog}, unix.UnixRights(r, w), nil, 0); err != nil {
		return fmt.Errorf("hand over the log: %w", err)
	}
	return nil
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
	buffer, rights := make([]byte, maxReport), make([]byte, unix.CmsgSpace(logEnds*4))
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

// sentFiles are the files in control messages, none where those cannot be read.
func sentFiles(messages []byte) []*os.File {
	fds, _ := unixsocket.Descriptors(messages)
	var files []*os.File
	for _, fd := range fds {
		// So that its reads have deadlines.
		_ = unix.SetNonblock(fd, true)
		files = append(files, os.NewFile(uintptr(fd), "log"))
	}
	return files
}

// takeLog gives the process the ends of its log.
func (p *Process) takeLog(ends []*os.File) {
	if len(ends) == logEnds {
		p.Log, p.logEnd = ends[0], ends[1]
		return
	}
	for _, f := range ends {
		f.Close()
	}
}
