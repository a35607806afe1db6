package configs

import (
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	// files are those of the clients, ordered by name, and folder is where they were.
	files  []*clientFile
	folder inode
	// anew says that every file is to be read and judged again.
	anew bool
	now  func() time.Time
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
func (r *Loader) Load() (*Config, error) { return r.load(nil) }

// LoadChanged is Load for a caller who was told which files have changed: of the
// clients' files it looks at those alone. What nobody told comes with the next Load.
func (r *Loader) LoadChanged(paths []string) (*Config, error) { return r.load(paths) }

// load looks at all files, or where paths are given at those, if they can be all that
// has changed.
func (r *Loader) load(paths []string) (*Config, error) {
	o := r.options
	o.running, o.known, o.now = r.first, r.known, r.now
	l, err := newLoad(r.path, o)
	if err != nil {
		return nil, err
	}
	l.gateway()
	if r.anew || !maps.Equal(l.hash, r.gateway) { // what a client's file may say depends on this one
		l.known, l.before = nil, l.known
	}
	r.anew = false
	if paths != nil && r.last != nil && l.known != nil && r.covers(l.config, paths) {
		l.readChanged(r.files, paths)
	} else {
		l.readClients()
	}
	same := r.last != nil && l.known != nil && l.fresh == 0 && len(l.read) == len(l.known) && l.report.err() == nil
	r.known, r.gateway, r.files, r.folder = l.read, l.hash, l.files, folderOf(l.config)
	if same {
		return r.last, nil
	}
	c, err := l.result()
	if err != nil {
		r.last = nil
		return nil, err
	}
	if r.first == nil {
		r.first = c.WithoutClients()
	}
	r.last = c
	return c, nil
}

// covers reports whether nothing else can have changed if the paths have: they are of
// clients' files and of what is read each time, and the folder is the same.
func (r *Loader) covers(c *Config, paths []string) bool {
	return folderOf(c) == r.folder && !slices.ContainsFunc(paths, func(path string) bool {
		return filepath.Dir(path) != c.ClientsDir && path != c.Path && path != c.revokedFile
	})
}

// kept returns the file as it was known before, where it says the same now: then there
// is one of it in memory, not two.
func (l *loader) kept(path string, now *reading) *clientFile {
	before, ok := l.before[path]
	if ok && before.sum == now.sum && reflect.DeepEqual(before.file.client, now.file.client) {
		return before.file
	}
	return now.file
}

// folderOf is the clients' folder, whatever it is called.
func folderOf(c *Config) inode {
	if c == nil {
		return inode{}
	}
	s, _ := stampOf(c.ClientsDir)
	return s.inode
}

// Forget has the next Load read and judge every file anew.
func (r *Loader) Forget() { r.anew, r.last = true, nil }

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
