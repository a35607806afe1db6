package gateway

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"postern/audit"
	"postern/internal/rsynclog"
	"postern/policy"
	"postern/sandbox"
)

const (
	// maxFiles and maxNames bound what one record of files holds, the latter in
	// bytes of names: a record is a line that somebody reads.
	maxFiles = 250
	maxNames = 32 << 10
	// maxRecorded bounds what one session can add to the trail: a client that
	// sends the same file again and again must not fill the disk of all. It is
	// more than a first backup has.
	maxRecorded = 5_000_000
	// filesWait is how long a file may wait for others to be recorded with it,
	// and how long a log is listened to that does not end with its child.
	filesWait = 2 * time.Second
	// logBuffer is what a FIFO holds, and logPause how long it may fill: rsync
	// writes each line by itself, and to be woken for each would cost more than
	// the rest of its record.
	logBuffer = 64 << 10
	logPause  = 5 * time.Millisecond
)

// touched is what an rsync says of the files that it touches, on its way into the
// trail.
type touched struct {
	log    *rsynclog.Reader
	record func([]audit.File) error
	detail audit.Detail
	// forget removes the log from the file system, once rsync has opened it.
	forget func()
	// dir is the rule's folder, where the names of records start.
	dir string
	// destination is that of a push, and "" for a pull. file says that it is no
	// folder, but the one file of the session under its new name.
	destination string
	file, began bool
	// heard says that rsync wrote anything.
	heard bool
	// absolute says that some source of a pull is an absolute path. rsync then
	// tells its files without the slash at their head.
	absolute bool

	counts audit.FileCounts
	// recorded is how many files were recorded or wait for it; names are the
	// bytes of the names of those that wait.
	recorded int
	waiting  []audit.File
	names    int
}

// newTouched reads the log of an allowed rsync, in the format of a secret.
func newTouched(d policy.Decision, secret string) *touched {
	t := &touched{dir: d.Dir, forget: func() {}}
	t.log = rsynclog.NewReader(secret, t.take)
	paths := d.Paths()
	if d.Direction == policy.Pull {
		t.absolute = slices.ContainsFunc(paths, path.IsAbs)
		return t
	}
	t.destination = paths[len(paths)-1]
	if !path.IsAbs(t.destination) {
		t.destination = path.Join(d.Dir, t.destination)
	}
	return t
}

// follow begins to record what a log says. The function that it returns waits for
// its end, once the child has ended in some way, and returns the counts, which are nil
// for a child without a log.
func (s *session) follow(log *os.File, t *touched) (counts func(sandbox.Exit) *audit.FileCounts) {
	if t == nil {
		return func(sandbox.Exit) *audit.FileCounts { return nil }
	}
	t.detail = s.server.config.Files
	t.record = func(files []audit.File) error {
		return s.server.config.Trail.FilesTouched(s.about, audit.Files{Session: s.id, Root: t.dir, Files: files})
	}
	ended, done := make(chan struct{}), make(chan struct{})
	s.spawn(func() {
		defer close(done)
		t.follow(log, ended)
	})
	return func(exit sandbox.Exit) *audit.FileCounts {
		close(ended)
		<-done
		// One that ends well has said at least that it began.
		t.counts.Unlogged = !t.heard && exit == sandbox.Exit{}
		return &t.counts
	}
}

// follow reads a log to its end. One that does not end though its child has,
// because another process holds it, ends when nothing comes any more.
func (t *touched) follow(log *os.File, ended <-chan struct{}) {
	defer log.Close()
	defer t.forget()
	buffer := make([]byte, logBuffer)
	for last := false; ; {
		// A FIFO has deadlines, and a closed one fails below.
		_ = log.SetReadDeadline(time.Now().Add(filesWait))
		n, err := log.Read(buffer)
		if n > 0 {
			t.heard = true
			t.forget()
		}
		t.log.Write(buffer[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) && !last {
			t.flush()
		} else if err != nil {
			break
		}
		select {
		case <-ended:
			last = true
		case <-time.After(logPause):
		}
	}
	t.log.Close()
	t.flush()
}

// take takes what was done to one file.
func (t *touched) take(i rsynclog.Item) {
	deed := audit.Deed(i.Deed())
	if i.Deed() == rsynclog.Unchanged {
		return
	}
	if !t.began {
		t.began, t.file = true, t.destination != "" && !tree{}.IsDir(t.destination)
	}
	t.counts.Count(deed)
	if !t.detail.Records(deed) {
		return
	}
	if t.recorded++; t.recorded > maxRecorded {
		t.counts.Unrecorded++
		return
	}
	file := audit.File{Deed: deed, Kind: i.Kind(), Size: -1, Name: t.place(i.Name), Cut: i.Cut}
	if file.Kind == "file" && deed != audit.Attributes {
		file.Size = i.Size
	}
	if len(t.waiting) == maxFiles || t.names+len(file.Name) > maxNames {
		t.flush()
	}
	t.waiting = append(t.waiting, file)
	t.names += len(file.Name)
}

// place is a file's path below the rule's folder.
func (t *touched) place(name string) string {
	switch {
	case t.file:
		name = t.destination
	case t.destination != "":
		name = path.Join(t.destination, name)
	case t.absolute && strings.HasPrefix("/"+name, t.dir+"/"):
		name = "/" + name
	default:
		name = path.Join(t.dir, name)
	}
	if name == t.dir {
		return "."
	}
	return strings.TrimPrefix(name, t.dir+"/")
}

// flush records the files that wait.
func (t *touched) flush() {
	if len(t.waiting) == 0 {
		return
	}
	if t.record(t.waiting) != nil {
		// The session goes on, and its end says so.
		t.counts.Unrecorded += int64(len(t.waiting))
	}
	t.waiting, t.names = t.waiting[:0], 0
}
