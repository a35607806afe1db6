package sandbox

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// commonFiles are what programs read to name users and groups and to find their
// libraries. Those that a host lacks are passed over.
var commonFiles = []string{"/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ld.so.cache"}

// commonLibraries are the folders in which the loaders of glibc and musl look
// without being told.
var commonLibraries = []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64", "/lib32", "/usr/lib32", "/usr/local/lib", "/usr/local/lib64"}

// maxLinks is how many symbolic links the kernel itself follows in one path.
const maxLinks = 40

// maxInterpreters is how many scripts the kernel lets interpret one another.
const maxInterpreters = 4

// view is what a program needs to see of the host. Nothing in it is writable.
type view struct {
	// execute and read are real paths: files to run, and files or folders to
	// read.
	execute, read []string
	// links are the symbolic links on the way, with their targets.
	links map[string]string
}

// needs finds what an order's program reads and runs. It looks at files of the
// host's administrator only, never at a client's.
func needs(o Order) (*view, error) {
	v := &view{links: map[string]string{}}
	if err := v.program(o.Program, o.Env, 0); err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(commonFiles, o.Reads) {
		if err := v.mayRead(path); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// program adds an executable file and all that running it takes.
func (v *view) program(path string, env []string, depth int) error {
	if depth > maxInterpreters {
		return fmt.Errorf("%s: too many interpreters", path)
	}
	real, err := v.resolve(path)
	if err != nil {
		return err
	}
	if slices.Contains(v.execute, real) {
		return nil
	}
	v.execute = append(v.execute, real)
	f, err := os.Open(real)
	if err != nil {
		return err
	}
	defer f.Close()
	// The kernel reads no more of a first line (BINPRM_BUF_SIZE).
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s is no program: %w", path, err)
	}
	if line, script := bytes.CutPrefix(head[:n], []byte("#!")); script {
		return v.script(path, line, env, depth)
	}
	return v.binary(path, f, depth)
}

// script adds the interpreter that the first line names.
func (v *view) script(path string, line []byte, env []string, depth int) error {
	line, _, _ = bytes.Cut(line, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) == 0 {
		return fmt.Errorf("%s names no interpreter in its first line", path)
	}
	interpreter := fields[0]
	if err := v.program(interpreter, env, depth+1); err != nil {
		return fmt.Errorf("interpreter of %s: %w", path, err)
	}
	if filepath.Base(interpreter) == "env" && len(fields) > 1 {
		found, err := lookUp(fields[len(fields)-1], env)
		if err != nil {
			return fmt.Errorf("interpreter of %s: %w", path, err)
		}
		interpreter = found
		if err := v.program(interpreter, env, depth+1); err != nil {
			return fmt.Errorf("interpreter of %s: %w", path, err)
		}
	}
	if strings.HasPrefix(filepath.Base(interpreter), "python") || strings.HasPrefix(filepath.Base(interpreter), "pypy") {
		return v.python(interpreter)
	}
	return nil
}

// lookUp finds a program as env(1) does.
func lookUp(name string, env []string) (string, error) {
	for _, variable := range env {
		list, ok := strings.CutPrefix(variable, "PATH=")
		if !ok {
			continue
		}
		for _, folder := range filepath.SplitList(list) {
			path := filepath.Join(folder, name)
			if st, err := os.Stat(path); err == nil && filepath.IsAbs(path) && st.Mode()&0o111 != 0 && !st.IsDir() {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%q is in no folder of the child's PATH: %w", name, fs.ErrNotExist)
}

// python adds the modules of an interpreter: those of its prefix, of the
// virtual environment that it belongs to, and of the Python that this one was
// made from.
func (v *view) python(interpreter string) error {
	real, err := v.resolve(interpreter)
	if err != nil {
		return err
	}
	var folders []string
	for _, path := range []string{interpreter, real} {
		folders = append(folders, modules(filepath.Dir(filepath.Dir(path)))...)
	}
	environment := filepath.Dir(filepath.Dir(interpreter))
	if f, err := os.Open(filepath.Join(environment, "pyvenv.cfg")); err == nil {
		defer f.Close()
		folders = append(folders, environment)
		for lines := bufio.NewScanner(f); lines.Scan(); {
			key, value, _ := strings.Cut(lines.Text(), "=")
			if home := strings.TrimSpace(value); strings.TrimSpace(key) == "home" && filepath.IsAbs(home) {
				folders = append(folders, modules(filepath.Dir(home))...)
			}
		}
	}
	for _, folder := range folders {
		if err := v.mayRead(folder); err != nil {
			return err
		}
	}
	return nil
}

// modules are the folders of a Python prefix in which modules lie.
func modules(prefix string) []string {
	return []string{filepath.Join(prefix, "lib"), filepath.Join(prefix, "lib64")}
}

// binary adds the loader and the libraries of an ELF file.
func (v *view) binary(path string, r io.ReaderAt, depth int) error {
	file, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("%s is neither a script nor a binary of this system: %w", path, err)
	}
	loader := ""
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			name, err := io.ReadAll(io.LimitReader(segment.Open(), 4096))
			if err != nil {
				return fmt.Errorf("read the loader's name in %s: %w", path, err)
			}
			loader = string(bytes.TrimRight(name, "\x00"))
		}
	}
	if loader == "" {
		return nil
	}
	if err := v.program(loader, nil, depth+1); err != nil {
		return fmt.Errorf("loader of %s: %w", path, err)
	}
	return v.libraries(path, loader, file)
}

// libraries adds the folders in which the loader will look.
func (v *view) libraries(path, loader string, file *elf.File) error {
	// The folder of the program's real path is what $ORIGIN stands for.
	real, err := v.resolve(path)
	if err != nil {
		return err
	}
	folders := slices.Concat(commonLibraries, []string{filepath.Dir(loader)}, configuredLibraries())
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, _ := file.DynString(tag)
		for _, list := range lists {
			list = strings.NewReplacer("$ORIGIN", filepath.Dir(real), "${ORIGIN}", filepath.Dir(real)).Replace(list)
			folders = append(folders, filepath.SplitList(list)...)
		}
	}
	for _, folder := range folders {
		folder = filepath.Clean(folder)
		// A loader that lies in the root itself needs nothing beside it.
		if !filepath.IsAbs(folder) || folder == "/" {
			continue
		}
		if err := v.mayRead(folder); err != nil {
			return err
		}
	}
	return nil
}

// configuredLibraries are the folders that the administrator told the loader:
// /etc/ld.so.conf and its kin for glibc, /etc/ld-musl-*.path for musl. What
// cannot be read names no folder.
func configuredLibraries() []string {
	var folders []string
	for _, pattern := range []string{"/etc/ld.so.conf", "/etc/ld.so.conf.d/*.conf", "/etc/ld-musl-*.path"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			text, _ := os.ReadFile(name)
			for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune(" \t\n:,", r) }) {
				if filepath.IsAbs(word) {
					folders = append(folders, word)
				}
			}
		}
	}
	return folders
}

// mayRead adds a file or a folder, if it exists.
func (v *view) mayRead(path string) error {
	real, err := v.resolve(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err == nil && real == "/" {
		err = fmt.Errorf("%s leads to the root, which no child may read", path)
	}
	if err == nil && !slices.Contains(v.read, real) {
		v.read = append(v.read, real)
	}
	return err
}

// resolve returns the real path and notes the links that lead to it.
func (v *view) resolve(path string) (string, error) {
	here, rest := "/", names(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(here, rest[0])
		rest = rest[1:]
		st, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			here = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many symbolic links", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		v.links[next] = target
		rest = append(names(target), rest...)
		if filepath.IsAbs(target) {
			here = "/"
		}
	}
	return here, nil
}

// frozenMark ends the archive in a program that PyInstaller made (CArchive's
// cookie).
var frozenMark = []byte("MEI\014\013\012\013\016")

// Frozen reports whether a program unpacks itself into TMPDIR and runs from
// there, as the borg binaries do that its makers publish. It needs
// [Order.Scratch] and [Order.Unpacks], the folder in TMPDIR, and its own absolute path as its name.
func Frozen(program string) (bool, error) {
	f, err := os.Open(program)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	// The cookie is in the last 88 bytes; a signature may follow it.
	tail := make([]byte, min(st.Size(), 16<<10))
	if _, err := f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Contains(tail, frozenMark), nil
}
