package e2e

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trees are the kinds of source trees that scripts can ask for. Each is the
// same at every run: contents from a fixed seed, times that are given.
var trees = map[string]func(dir string) error{
	"mixed":  mixedTree,
	"names":  namesTree,
	"links":  linksTree,
	"sparse": sparseTree,
	"xattrs": xattrsTree,
	"many":   manyTree,
	"text":   textTree,
}

// long ago, with a fraction that only nanoseconds can hold.
var epoch = time.Date(2019, 8, 7, 6, 5, 4, 321987654, time.UTC)

// random returns n bytes that no compression gets smaller.
func random(seed uint64, n int) []byte {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 7})
	b := make([]byte, n)
	source.Read(b)
	return b
}

// makeTree makes a tree of this kind and gives every name its time.
func makeTree(kind, dir string) error {
	fill, ok := trees[kind]
	if !ok {
		return fmt.Errorf("no tree of kind %q", kind)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := fill(dir); err != nil {
		return err
	}
	return setTimes(dir)
}

// setTimes gives every name below dir a time of its own.
func setTimes(dir string) error {
	n := 0
	var folders []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			folders = append(folders, path)
			return err
		}
		n++
		return setTime(path, epoch.Add(time.Duration(n)*1234567891))
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		n++
		err = setTime(folders[i], epoch.Add(time.Duration(n)*1234567891))
	}
	return err
}

func setTime(path string, t time.Time) error {
	at := unix.NsecToTimespec(t.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// write makes a file with its parents; the mode is set whatever the umask.
func write(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// mixedTree is what a home folder is: sizes around every border, modes, links
// of every kind, empty folders.
func mixedTree(dir string) error {
	for i, size := range []int{0, 1, 699, 700, 701, 4095, 4096, 32767, 32769, 131072, 1 << 20} {
		mode := []os.FileMode{0o644, 0o600, 0o755, 0o444, 0o400, 0o666}[i%6]
		if err := write(filepath.Join(dir, "sizes", strconv.Itoa(size)), random(uint64(i), size), mode); err != nil {
			return err
		}
	}
	for _, name := range []string{"a/b/c/d/e/f/g/deep", "a/b/beside", "top", "docs/report.txt", "docs/notes.txt"} {
		if err := write(filepath.Join(dir, name), []byte("this is "+name+"\n"), 0o640); err != nil {
			return err
		}
	}
	for _, name := range []string{"empty", "empty/within", "private"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"link-to-file": "docs/report.txt", "link-to-folder": "a/b", "a/link-up": "../docs/notes.txt",
		"dangling": "nowhere/at/all", "absolute": "/etc/hostname", "link to itself": "link to itself",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(dir, "private"), 0o700)
}

// namesTree has the names that break a command line.
func namesTree(dir string) error {
	names := []string{
		" ", "  two  spaces  ", " leading", "trailing ", "tab\tin it", "new\nline", "ends with\n", "\r\n", "-", "--", "-rf", "--delete", "-e sh",
		"'", "''", "\"", "it's", "a\"b", "`id`", "$(id)", "$HOME", "${x}", "a;b", "a&b", "a|b", "a>b", "a<b", "(a)", "{a,b}", "a?b",
		"*", "?", "[", "!", "~", "~root", "~/x", "#", "%", "%n", "\\", "a\\b", "ends\\", "\\n", "a:b", "host:path", ":", "=", "a=b", "@", ",", "^",
		"...", ".hidden", "..hidden", `","did":"sent","name":"`, "\n+\x1fdel.\x1f*deleting  \x1f0\x1fx-\n", "\x01", "\x1b[31m", "\x7f", "caf\u00e9", "cafe\u0301", "日本語", "😀", "\u202etxt.exe", "\xff\xfe", "caf\xe9", "\xc3(",
		strings.Repeat("x", 255), strings.Repeat("é", 127),
	}
	for i, name := range names {
		name = strings.ReplaceAll(name, "/", "\u2215")
		if err := write(filepath.Join(dir, name), []byte(fmt.Sprintf("file %d\n", i)), 0o644); err != nil {
			return err
		}
		if len(name) > 100 {
			continue
		}
		if err := write(filepath.Join(dir, "folders", name, name), []byte(fmt.Sprintf("within %d\n", i)), 0o644); err != nil {
			return err
		}
	}
	return os.Symlink("new\nline", filepath.Join(dir, "link with 'quotes'"))
}

// oddNames are those of namesTree that are given on command lines too. A shell
// that sshd starts drops an escaped newline, and expands a destination that is
// a pattern; postern takes no control characters; rsync 3.2.7 escapes no
// backquote. The first names in onlySecluded need -s for
// that.
var oddNames = []string{
	"  two  spaces  ", "trailing ", "-rf", "--delete", "it's", "a\"b", "$(id)", "a;b", "a&b", "a>b", "{a,b}",
	"~root", "#", "a\\b", "host:path", "a=b", "cafe\u0301", "\xff\xfe",
}

var onlySecluded = []string{"new\nline", "\x1b[31m", "\r\n", "`id`", "--delete", "a;b", "it's", "\xff\xfe"}

// linksTree has hard links: within a folder, across folders, of a symbolic link.
func linksTree(dir string) error {
	if err := write(filepath.Join(dir, "one/first"), random(1, 5000), 0o644); err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "two/alone"), random(2, 100), 0o644); err != nil {
		return err
	}
	if err := os.Symlink("first", filepath.Join(dir, "one/soft")); err != nil {
		return err
	}
	for link, to := range map[string]string{"one/second": "one/first", "two/third": "one/first", "zero": "one/first", "two/soft": "one/soft"} {
		if err := os.Link(filepath.Join(dir, to), filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	return nil
}

// sparseTree has files that are mostly holes.
func sparseTree(dir string) error {
	for name, offsets := range map[string][]int64{
		"hole-at-end": {0}, "hole-at-start": {16<<20 - 4096}, "islands": {1 << 20, 5 << 20, 9 << 20}, "nothing": {},
	} {
		if err := sparseFile(filepath.Join(dir, name), 16<<20, 4096, offsets...); err != nil {
			return err
		}
	}
	return nil
}

// sparseFile makes a file of this size with random islands in it.
func sparseFile(path string, size int64, island int, offsets ...int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for i, at := range offsets {
		if _, err := f.WriteAt(random(uint64(i)+uint64(at>>20), island), at); err != nil {
			return err
		}
	}
	return f.Truncate(size)
}

// xattrsTree has extended attributes on files and folders; scripts add ACLs.
func xattrsTree(dir string) error {
	if err := write(filepath.Join(dir, "folder/file"), random(3, 3000), 0o644); err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "plain"), random(4, 30), 0o600); err != nil {
		return err
	}
	for path, attrs := range map[string]map[string][]byte{
		"folder":      {"user.origin": []byte("a folder")},
		"folder/file": {"user.empty": {}, "user.binary": random(5, 200), "user.text": []byte("line\nline")},
		"plain":       {"user.long": random(6, 2000)},
	} {
		for name, value := range attrs {
			if err := unix.Setxattr(filepath.Join(dir, path), name, value, 0); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return nil
}

// manyTree has 10 000 small files in 100 folders.
func manyTree(dir string) error {
	for folder := range 100 {
		at := filepath.Join(dir, fmt.Sprintf("folder-%02d", folder))
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		for file := range 100 {
			content := fmt.Sprintf("file %d of folder %d\n%s", file, folder, strings.Repeat("#", file))
			if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("file-%02d", file)), []byte(content), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// textTree compresses well, and has names for wildcards.
func textTree(dir string) error {
	for i, name := range []string{"a.txt", "b.txt", "ab.txt", "c.log", "sub/d.txt", "sub/e.log", "x y.txt", "big.txt"} {
		size := 20
		if name == "big.txt" {
			size = 40000
		}
		if err := write(filepath.Join(dir, name), []byte(strings.Repeat(fmt.Sprintf("line of %s %d\n", name, i), size)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// nextDay changes a tree as a day of work does: one file grows, one is edited
// in the middle, one is renamed, one is deleted, one is new, one is touched.
func nextDay(dir string, day int) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	edited, err := os.ReadFile(at("sizes/1048576"))
	if err != nil {
		return err
	}
	copy(edited[500_000+1000*day:], fmt.Sprintf("edited on day %d", day))
	if err := os.Rename(at("top"), at(fmt.Sprintf("top-%d", day))); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"sizes/1048576": edited,
		"sizes/131072":  random(uint64(day), 131072+day),
		"top":           []byte(fmt.Sprintf("born on day %d\n", day)),
	} {
		if err := write(at(name), content, 0o644); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(at("docs/notes.txt")); err != nil {
		return err
	}
	if err := os.Chmod(at("sizes/32767"), os.FileMode(0o600+day)); err != nil {
		return err
	}
	for i, name := range []string{"sizes/1048576", "sizes/131072", "sizes/4096", "top", "docs", "sizes", "."} {
		if err := setTime(at(name), epoch.AddDate(i, 1, day)); err != nil {
			return err
		}
	}
	return nil
}
