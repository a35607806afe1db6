package configs

import (
	"crypto/sha256"
	"maps"
	"os"
	"syscall"
	"time"
)

// Loader reads the same files again and again, for a gateway that runs. Of the
// clients' files it reads only those anew that have changed, and judges only those
// by the host. It is for one goroutine at a time.
type Loader struct {
	path    string
	options options
	// first and last are what was loaded at first and at last; nil before.
	first, last *Config
	gateway     contentHash
	known       map[string]*reading
	now         func() time.Time
}

// NewLoader returns a loader of the files that [Load] would read.
func NewLoader(path string) *Loader {
	return newLoader(path, options{uid: os.Geteuid(), zone: time.Local, users: hostUsers()})
}

func newLoader(path string, o options) *Loader {
	return &Loader{path: path, options: o, now: time.Now}
}

// Load is [Load]. It returns the configuration that it returned before where
// nothing has changed. Until the next start a gateway goes on using some of what
// was loaded first, so no rule may reach that either.
func (r *Loader) Load() (*Config, error) {
	o := r.options
	o.running, o.known, o.now = r.first, r.known, r.now
	l, err := newLoad(r.path, o)
	if err != nil {
		return nil, err
	}
	l.gateway()
	if !maps.Equal(l.hash, r.gateway) {
		l.known = nil // what a client's file may say depends on this one
	}
	gateway := maps.Clone(l.hash)
	l.readClients()
	same := r.last != nil && l.known != nil && l.fresh == 0 && len(l.read) == len(l.known) && l.report.err() == nil
	r.known, r.gateway = l.read, gateway
	if same {
		return r.last, nil
	}
	c, err := l.result()
	if err != nil {
		r.last = nil
		return nil, err
	}
	if r.first == nil {
		r.first = c
	}
	r.last = c
	return c, nil
}

// Forget has the next Load read and judge every file anew.
func (r *Loader) Forget() { r.known, r.gateway, r.last = nil, nil, nil }

// reading is a client's file that was read, and in which nothing was wrong.
type reading struct {
	stamp   stamp
	settled bool
	sum     [sha256.Size]byte
	file    *clientFile
}

// settling is how long a file must have been left alone for its times to tell
// whether it changes: file systems keep them by seconds or two.
const settling = 3 * time.Second

// stamp is what the kernel says of a file and changes with it.
type stamp struct {
	inode                   inode
	size, modified, changed int64
	mode, uid               uint32
}

func stampOf(path string) (s stamp, ok bool) {
	var stat syscall.Stat_t // without what os.Lstat makes of it, for ten thousands
	if err := syscall.Lstat(path, &stat); err != nil {
		return stamp{}, false
	}
	return stamp{
		inode: inode{uint64(stat.Dev), stat.Ino}, size: stat.Size,
		modified: stat.Mtim.Nano(), changed: stat.Ctim.Nano(),
		mode: stat.Mode, uid: stat.Uid,
	}, true
}

// settledAt reports whether nothing can change the file from now on and leave the
// stamp as it is.
func (s stamp) settledAt(now time.Time) bool {
	return now.Sub(time.Unix(0, max(s.changed, s.modified))) > settling
}
