package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// bases are folders that nothing a child may see lies in. One of them is where
// the new root grows, in a mount namespace of the helper's own.
var bases = []string{"/sys", "/dev", "/proc"}

// scratchSize bounds what a program can unpack: several times what a frozen
// borg needs.
const scratchSize = "256m"

// How the parts of the new root are mounted.
const (
	systemFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	dataFlags   = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
)

// newRoot is a root under construction.
type newRoot struct {
	// base is where it is for now.
	base string
	// bound are the real paths of folders that are mounted whole.
	bound []string
}

// enterRoot makes an order's root and moves into it. The calling process must
// be in a mount namespace of its own. After it the host's tree is out of reach.
func enterRoot(o Order, v *view) error {
	unix.Umask(0o022)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	root, err := plant()
	if err != nil {
		return err
	}
	if err := root.furnish(o, v); err != nil {
		return err
	}
	return root.enter()
}

// plant mounts an empty root.
func plant() (*newRoot, error) {
	for _, base := range bases {
		st, err := os.Lstat(base)
		if err != nil || !st.IsDir() {
			continue
		}
		if err := unix.Mount("tmpfs", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755,size=1m"); err != nil {
			return nil, fmt.Errorf("mount an empty root: %w", err)
		}
		return &newRoot{base: base}, nil
	}
	return nil, fmt.Errorf("find a place for the root: there is none of %s: %w", strings.Join(bases, ", "), fs.ErrNotExist)
}

// furnish mounts what the child sees.
func (r *newRoot) furnish(o Order, v *view) error {
	// A path, or the program, may lie in the scratch folder, and is then to be seen in it.
	if o.Scratch != "" {
		if err := r.scratch(o); err != nil {
			return err
		}
	}
	if o.Log != "" {
		if err := r.log(o); err != nil {
			return fmt.Errorf("make the log: %w", err)
		}
	}
	system := slices.Concat(v.execute, v.read)
	// Folders come before what lies in them.
	slices.Sort(system)
	for _, path := range slices.Compact(system) {
		if r.shows(path) {
			continue
		}
		if err := r.bind(path, path, systemFlags); err != nil {
			return fmt.Errorf("show %s: %w", path, err)
		}
	}
	paths := slices.Clone(o.Paths)
	slices.SortFunc(paths, func(a, b Path) int { return strings.Compare(a.Path, b.Path) })
	for _, p := range paths {
		if err := r.bindFolder(p); err != nil {
			return fmt.Errorf("show %s: %w", p.Path, err)
		}
	}
	for path, target := range v.links {
		if err := r.link(path, target); err != nil {
			return fmt.Errorf("show the link %s: %w", path, err)
		}
	}
	return nil
}

// shows reports whether a real path lies in a folder that is mounted.
func (r *newRoot) shows(path string) bool {
	return slices.ContainsFunc(r.bound, func(folder string) bool { return within(path, folder) })
}

// within reports whether a path is a folder or lies in it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// bind mounts a file or a folder with all that is mounted below it. from may be
// relative; to is its path in the new root.
func (r *newRoot) bind(from, to string, flags uintptr) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	target := filepath.Join(r.base, to)
	if err := mountPoint(target, st.IsDir()); err != nil {
		return err
	}
	if err := unix.Mount(from, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if st.IsDir() {
		r.bound = append(r.bound, to)
	}
	return tighten(target, flags)
}

// mountPoint makes the folder or file to mount on, unless it is there.
func mountPoint(target string, folder bool) error {
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	if folder {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, nil, 0o644)
}

// bindFolder mounts a path of the rule. The descriptor that came with the order
// belongs to another mount namespace and cannot be mounted, so that the path is
// opened again, and must lead to the same folder.
func (r *newRoot) bindFolder(p Path) error {
	fd, err := unix.Open(p.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	want, err := identityOf(int(p.Folder.Fd()))
	if err != nil {
		return err
	}
	if got, err := identityOf(fd); err != nil || got != want {
		return errors.Join(errSwapped, err)
	}
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	flags := uintptr(dataFlags)
	if !p.Writable {
		flags |= unix.MS_RDONLY
	}
	if err := r.bind(".", p.Path, flags); err != nil {
		return err
	}
	return same(filepath.Join(r.base, p.Path), fd)
}

// link repeats a symbolic link of the host where nothing shows it yet.
func (r *newRoot) link(path, target string) error {
	if r.shows(path) {
		return nil
	}
	at := filepath.Join(r.base, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return os.Symlink(target, at)
}

// scratch mounts an empty file system.
func (r *newRoot) scratch(o Order) error {
	target := filepath.Join(r.base, o.Scratch)
	if err := mountPoint(target, true); err != nil {
		return fmt.Errorf("make the scratch folder: %w", err)
	}
	options := "mode=0700,size=" + scratchSize
	if o.User != nil {
		options += fmt.Sprintf(",uid=%d,gid=%d", o.User.UID, o.User.GID)
	}
	flags := uintptr(dataFlags)
	if o.Unpacks {
		flags &^= unix.MS_NOEXEC
	}
	if err := unix.Mount("tmpfs", target, "tmpfs", flags, options); err != nil {
		return fmt.Errorf("mount the scratch folder: %w", err)
	}
	return nil
}

// enter makes the new root the root, and lets go of the old one.
func (r *newRoot) enter() error {
	if err := remount(r.base, unix.MS_RDONLY); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	if err := unix.Chdir(r.base); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	// Old and new on one place: the old one is on top, and is then let go.
	err := unix.PivotRoot(".", ".")
	if errors.Is(err, unix.EINVAL) {
		return r.cover()
	}
	if err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root: %w", err)
	}
	return unix.Chdir("/")
}

// cover puts the new root on top of an old one that cannot be let go: the
// memory file system from which the kernel booted, on systems that stay in it.
// What is below can be reached by whoever may unmount or chroot, which the child
// may not.
func (r *newRoot) cover() error {
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cover the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("enter the covering root: %w", err)
	}
	return unix.Chdir("/")
}

// tighten adds flags to a mount and to all that is mounted below it. It takes
// none away: in a user namespace the kernel locks those that were there.
func tighten(target string, flags uintptr) error {
	attr := unix.MountAttr{}
	for flag, attribute := range map[uintptr]uint64{
		unix.MS_RDONLY: unix.MOUNT_ATTR_RDONLY, unix.MS_NOSUID: unix.MOUNT_ATTR_NOSUID,
		unix.MS_NODEV: unix.MOUNT_ATTR_NODEV, unix.MS_NOEXEC: unix.MOUNT_ATTR_NOEXEC,
	} {
		if flags&flag != 0 {
			attr.Attr_set |= attribute
		}
	}
	if unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr) == nil {
		return nil
	}
	return tightenEach(target, flags)
}

// tightenEach is tighten for Linux before 5.12, which does one mount at a time.
func tightenEach(target string, flags uintptr) error {
	list, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list the mounts: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if !within(point, target) {
			continue
		}
		if err := remount(point, flags); err != nil {
			return fmt.Errorf("restrict the mount %s: %w", point, err)
		}
	}
	return nil
}

// unescape reads a path as mountinfo writes it: these four with their octal
// numbers.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// remount adds flags to one mount.
func remount(point string, flags uintptr) error {
	var st unix.Statfs_t
	if err := unix.Statfs(point, &st); err != nil {
		return err
	}
	// Those that statfs tells by other numbers than mount takes, and those
	// that are the same for both.
	for told, flag := range map[int64]uintptr{
		unix.ST_RDONLY: unix.MS_RDONLY, unix.ST_NOSUID: unix.MS_NOSUID, unix.ST_NODEV: unix.MS_NODEV, unix.ST_NOEXEC: unix.MS_NOEXEC,
		unix.ST_NOATIME: unix.MS_NOATIME, unix.ST_NODIRATIME: unix.MS_NODIRATIME, unix.ST_RELATIME: unix.MS_RELATIME,
	} {
		if int64(st.Flags)&told != 0 {
			flags |= flag
		}
	}
	return unix.Mount("", point, "", unix.MS_REMOUNT|unix.MS_BIND|flags, "")
}
