package configs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// protected are the folders that no rule may reach, looked up by spelling and
// by inode, and what the file system says of the folders of rules. Every look-up
// costs the depth of the path, whatever the number of clients.
type protected struct {
	spelled, spelledAbove map[string]ward
	inodes, inodesAbove   map[inode]ward
	seen                  map[string]entry
}

// ward is a protected folder.
type ward struct{ path, what string }

// entry is what lies at a path, not following a symbolic link.
type entry struct {
	exists, isDir, isLink bool
	inode                 inode
}

// ProgramFolders returns the folders in which a program that the configuration
// does not name is looked for, in order.
func ProgramFolders() []string {
	return []string{"/usr/local/bin", "/usr/bin", "/bin", "/opt/bin", "/usr/syno/bin"}
}

// systemFolders are folders that an operating system starts from, reads its
// settings from, or shows its inside in. Who writes there owns the machine.
func systemFolders() []string {
	return []string{
		"/etc", "/proc", "/sys", "/dev", "/boot",
		"/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/sbin", "/lib", "/lib32", "/lib64",
	}
}

// newProtected protects the system and the programs' usual folders.
func newProtected() *protected {
	p := &protected{
		spelled: map[string]ward{}, spelledAbove: map[string]ward{},
		inodes: map[inode]ward{}, inodesAbove: map[inode]ward{},
		seen: map[string]entry{},
	}
	for _, folder := range ProgramFolders() {
		p.protect(folder, "a folder of programs")
	}
	for _, folder := range systemFolders() {
		p.protect(folder, "a folder of the system")
	}
	return p
}

// protect adds a folder, as it is spelled and as it really is. What was added
// first names the reason.
func (p *protected) protect(folder, what string) {
	w, real := ward{folder, what}, realPath(folder)
	for _, path := range []string{folder, real} {
		note(p.spelled, path, w)
		for above := range parents(path) {
			note(p.spelledAbove, above, w)
		}
	}
	walk(folder, func(path string, info fs.FileInfo) {
		if path == real {
			note(p.inodes, inodeOf(info), w)
		} else {
			note(p.inodesAbove, inodeOf(info), w)
		}
	})
}

// protectFile protects the folder that holds a file, and the one that really
// does.
func (p *protected) protectFile(file, what string) {
	p.protect(filepath.Dir(file), what)
	p.protect(filepath.Dir(realPath(file)), what)
}

func note[K comparable](in map[K]ward, key K, w ward) {
	if _, ok := in[key]; !ok {
		in[key] = w
	}
}

// parents yields every folder above an absolute path, the nearest first.
func parents(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for path != "/" {
			path = filepath.Dir(path)
			if !yield(path) {
				return
			}
		}
	}
}

// look returns what lies at the path, and remembers it.
func (p *protected) look(path string) entry {
	if e, ok := p.seen[path]; ok {
		return e
	}
	var e entry
	if info, err := os.Lstat(path); err == nil {
		e = entry{exists: true, isDir: info.IsDir(), isLink: info.Mode().Type() == fs.ModeSymlink, inode: inodeOf(info)}
	}
	p.seen[path] = e
	return e
}

// badFolder returns what keeps a path, which badPath let pass, from being the
// folder of a rule. One that does not exist is none: it may be on a disk that is
// not there now.
func (p *protected) badFolder(path string) (fault, bool) {
	if f, bad := p.overlap(path); bad {
		return f, true
	}
	if f, bad := p.throughLink(path); bad {
		return f, true
	}
	if e := p.look(path); e.exists && !e.isDir {
		return faultf("name a folder", "%q is not a folder", path), true
	}
	return fault{}, false
}

// throughLink finds a symbolic link in the path: whoever can change it chooses
// what the rule is about.
func (p *protected) throughLink(path string) (fault, bool) {
	links := []string{}
	if p.look(path).isLink {
		links = append(links, path)
	}
	for above := range parents(path) {
		if p.look(above).isLink {
			links = append(links, above)
		}
	}
	if len(links) == 0 {
		return fault{}, false
	}
	return faultf("write "+realPath(path), "%q is a symbolic link", links[len(links)-1]), true
}

// overlap finds a protected folder that is the path, lies in it or contains it.
func (p *protected) overlap(path string) (fault, bool) {
	here := p.look(path)
	w, ok := p.spelledAbove[path]
	if !ok && here.exists {
		w, ok = p.inodesAbove[here.inode]
	}
	if ok {
		return w.fault(path, "contains"), true
	}
	if w, ok := p.is(path); ok {
		return w.fault(path, "is"), true
	}
	for above := range parents(path) {
		if w, ok := p.is(above); ok {
			return w.fault(path, "lies in"), true
		}
	}
	return fault{}, false
}

// is returns the protected folder that the path is.
func (p *protected) is(path string) (ward, bool) {
	if w, ok := p.spelled[path]; ok {
		return w, true
	}
	e := p.look(path)
	if !e.exists {
		return ward{}, false
	}
	w, ok := p.inodes[e.inode]
	return w, ok
}

func (w ward) fault(path, relation string) fault {
	return faultf("keep backups in a folder of their own",
		"%q %s %s, %q", path, relation, w.what, w.path)
}

// same returns what identifies the folder at the path, for finding two
// spellings of one.
func (p *protected) same(path string) string {
	if e := p.look(path); e.exists {
		return fmt.Sprint(e.inode)
	}
	return path
}
