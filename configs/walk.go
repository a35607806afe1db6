package configs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links Linux follows in one path.
const maxLinks = 40

// walk follows an absolute path from the root of the file system, symbolic
// links included, and shows each folder on the way, the last one too, to visit.
// It returns the path without symbolic links. Where something does not exist or
// cannot be seen, the rest of the path is taken as it is written.
func walk(path string, visit func(folder string, info fs.FileInfo)) string {
	here, rest := "/", split(path)
	if info, err := os.Lstat(here); err == nil {
		visit(here, info)
	}
	for links := 0; len(rest) > 0; {
		if rest[0] == ".." {
			here, rest = filepath.Dir(here), rest[1:]
			continue
		}
		next := filepath.Join(here, rest[0])
		info, err := os.Lstat(next)
		if err != nil {
			break
		}
		if info.Mode().Type() == fs.ModeSymlink {
			target, err := os.Readlink(next)
			if links++; err != nil || links > maxLinks {
				break
			}
			if filepath.IsAbs(target) {
				here = "/"
			}
			rest = append(split(target), rest[1:]...)
			continue
		}
		if info.IsDir() {
			visit(next, info)
		}
		here, rest = next, rest[1:]
	}
	return filepath.Join(append([]string{here}, rest...)...)
}

// split returns the names in a path, without cleaning it: behind a symbolic
// link ".." is not the folder before it.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// realPath returns the path without symbolic links, as far as it exists.
func realPath(path string) string {
	return walk(path, func(string, fs.FileInfo) {})
}

// inode is what a folder is, however it is spelled: on a volume that ignores
// case K1 and k1 are one folder.
type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) inode {
	stat := statOf(info)
	return inode{uint64(stat.Dev), stat.Ino}
}

// statOf returns what the kernel says of a file.
func statOf(info fs.FileInfo) *syscall.Stat_t {
	return info.Sys().(*syscall.Stat_t) // always, on the systems that build this
}
