package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile bounds each file: what a person writes is a thousand times smaller.
const maxFile = 1 << 20

// guard reads files and folders that only root and the gateway can have
// changed. It complains about all others, and goes on, so that everything wrong
// is said at once: the complaint is enough to refuse the whole.
type guard struct {
	// uid is the gateway's.
	uid    int
	report *report
	// judged are the folders that were complained about, or need not be.
	judged map[string]bool
}

func newGuard(uid int, r *report) *guard {
	return &guard{uid: uid, report: r, judged: map[string]bool{}}
}

// read returns the content of a file.
func (g *guard) read(path string) ([]byte, bool) {
	data, info, ok := readFile(path, g.report)
	if ok {
		g.trusted(path, "file", info)
	}
	return data, ok
}

// readFile returns the content of a file that is a file, and what the kernel
// says of it, or complains. What it is gets judged twice: by name before it is
// opened, because opening a device can have effects, and by descriptor after,
// because the name can change its meaning in between.
func readFile(path string, r *report) ([]byte, fs.FileInfo, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		r.missing(path, err)
		return nil, nil, false
	}
	if !r.isFile(path, info) {
		return nil, nil, false
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		r.about(path, "let the gateway read it", "the file cannot be opened: %v", cause(err))
		return nil, nil, false
	}
	defer f.Close()
	return readOpen(path, f, r)
}

// readOpen judges and reads an open file.
func readOpen(path string, f *os.File, r *report) ([]byte, fs.FileInfo, bool) {
	info, err := f.Stat()
	if err != nil {
		r.about(path, "check the disk", "the file cannot be examined: %v", cause(err))
		return nil, nil, false
	}
	if !r.isFile(path, info) {
		return nil, nil, false
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		r.about(path, "check the disk", "the file cannot be read: %v", cause(err))
	case len(data) > maxFile:
		r.tooLarge(path)
	default:
		return data, info, true
	}
	return nil, nil, false
}

func (r *report) tooLarge(path string) {
	r.about(path, "check that it is the right file", "the file is larger than 1 MiB")
}

func (r *report) missing(path string, err error) {
	remedy := "let the gateway read it"
	if errors.Is(err, fs.ErrNotExist) {
		remedy = "create it (postern init does), or correct its name"
	}
	r.about(path, remedy, "cannot be found: %v", cause(err))
}

// cause returns the error of the system without the path, which the problem
// names already.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func (r *report) isFile(path string, info fs.FileInfo) bool {
	switch {
	case info.Mode().IsRegular():
		return true
	case info.Mode().Type() == fs.ModeSymlink:
		r.about(path, "put the file itself there", "the file is a symbolic link")
	default:
		r.about(path, "put a file there, or remove it", "this is not a file")
	}
	return false
}

// folder judges a folder and the way to it. It reports whether there is one to
// look into.
func (g *guard) folder(path string) bool {
	g.way(filepath.Dir(path))
	info, err := os.Lstat(path)
	if err != nil {
		g.report.missing(path, err)
		return false
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		g.report.about(path, "name the folder itself: "+realPath(path), "the folder is a symbolic link")
		return false
	case !info.IsDir():
		g.report.about(path, "put a folder there", "this is not a folder")
		return false
	}
	g.trusted(path, "folder", info)
	return true
}

// holder judges the folder that a file is in. Links may lead to it, as packages
// of some systems have it, but what they lead to is judged, and so is the way.
func (g *guard) holder(file string) {
	folder := filepath.Dir(file)
	real := realPath(folder)
	if _, err := os.Lstat(real); err == nil {
		g.folder(real)
	}
	g.way(folder)
}

// trusted complains where somebody but root and the gateway can change a file
// or folder.
func (g *guard) trusted(path, kind string, info fs.FileInfo) {
	if g.judged[path] {
		return
	}
	g.judged[path] = true
	if owner := int(statOf(info).Uid); owner != 0 && owner != g.uid {
		g.report.about(path, fmt.Sprintf("chown %d %s", g.uid, path),
			"the %s belongs to the user %d, who is neither root nor the gateway's", kind, owner)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		g.report.about(path, "chmod go-w "+path, "the %s can be written by %s (mode %04o)", kind, writers(mode), mode)
	}
}

func writers(mode fs.FileMode) string {
	if mode&0o002 != 0 {
		return "everyone"
	}
	return "its group"
}

// way complains about folders from which anyone could take away the next one on
// the way to the path, and put another in its place. In a sticky one, such as
// /tmp, only its owner can.
func (g *guard) way(path string) {
	walk(path, func(folder string, info fs.FileInfo) {
		mode := info.Mode()
		if mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0 && !g.judged[folder] {
			g.judged[folder] = true
			g.report.about(folder, "chmod o-w "+folder, "the folder, which is on the way to %q, can be written by everyone (mode %04o)", path, mode.Perm())
		}
	})
}
