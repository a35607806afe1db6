package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideArgs returns the words that start a command as the user uid (root: as
// who we are) where each PATH=FOLDER has put the folder at path.
func insideArgs(uid int, folders []string) []string {
	args := []string{"inside"}
	for _, f := range folders {
		args = append(args, "-at", f)
	}
	if uid != root {
		args = append(args, "-uid", strconv.Itoa(uid))
	}
	return append(args, "--")
}

// insideMain is the command "inside [FLAG VALUE...] -- COMMAND ARG...": it runs
// the command in a mount namespace of its own, in which things of this test
// stand at paths that the machine may not even have, such as /volume1. Nothing
// of that is seen outside, and it is all gone with the command.
//
//	-at PATH=FOLDER   the folder at path, which is made where it is missing
//	-file PATH=FILE   the file in the place of the one at path
//	-empty PATH       an empty folder over the one at path
//	-folder PATH      a new folder, below one that is empty
//	-uid N            the user that the command runs as
//	-net FILE         the network namespace that it runs in
func insideMain() {
	// A mount namespace belongs to a thread; exec keeps the one that calls it.
	runtime.LockOSThread()
	if err := inside(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(125)
	}
}

// inside does not return when all goes well.
func inside(args []string) error {
	uid := root
	private := false
	for len(args) > 1 && args[0] != "--" {
		flag, value := args[0], args[1]
		args = args[2:]
		if flag == "-uid" {
			n, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			uid = n
			continue
		}
		if flag == "-net" {
			if err := enterNetwork(value); err != nil {
				return err
			}
			continue
		}
		if !private {
			if err := unshareMounts(); err != nil {
				return err
			}
			private = true
		}
		at, source, _ := strings.Cut(value, "=")
		if err := place(flag, at, source); err != nil {
			return fmt.Errorf("%s %s: %w", flag, value, err)
		}
	}
	if len(args) < 2 {
		return fmt.Errorf("no command in %q", args)
	}
	if uid != root {
		if err := become(uid); err != nil {
			return fmt.Errorf("becoming user %d: %w", uid, err)
		}
	}
	program, err := lookup(args[1])
	if err != nil {
		return err
	}
	return syscall.Exec(program, args[1:], os.Environ())
}

// enterNetwork takes this thread into the network namespace of a file.
func enterNetwork(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// unshareMounts gives this thread mounts of its own.
func unshareMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount namespace of its own (run the tests as root, in a container with CAP_SYS_ADMIN): %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// place puts one thing at a path of the namespace.
func place(flag, at, source string) error {
	switch flag {
	case "-file":
		return unix.Mount(source, at, "", unix.MS_BIND, "")
	case "-empty":
		return unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755")
	case "-folder":
		return os.Mkdir(at, 0o755)
	case "-at":
		if err := ensureFolder(at); err != nil {
			return err
		}
		return unix.Mount(source, at, "", unix.MS_BIND|unix.MS_REC, "")
	}
	return fmt.Errorf("no such flag")
}

// ensureFolder makes the folder without touching the disk: the nearest parent
// that exists is replaced by a copy of itself, made of mounts, with room for
// one more name.
func ensureFolder(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	parent := filepath.Dir(path)
	if err := ensureFolder(parent); err != nil {
		return err
	}
	if parent == "/" {
		return newRootWith(filepath.Base(path))
	}
	if err := mirror(parent, parent); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o755)
}

// staging is where a mirror is put together: a folder that every machine has,
// seen only in this namespace.
const staging = "/mnt"

// mirror covers the folder at with a tmpfs that holds everything of source.
func mirror(source, at string) error {
	if err := unix.Mount("tmpfs", staging, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := populate(source, staging); err != nil {
		return err
	}
	return unix.Mount(staging, at, "", unix.MS_MOVE, "")
}

// newRootWith changes the root to a mirror of it that has a folder of this name.
func newRootWith(name string) error {
	if err := unix.Mount("tmpfs", staging, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := populate("/", staging); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(staging, name), 0o755); err != nil {
		return err
	}
	// Unlike chroot this leaves a root that user namespaces may be made in. The
	// old one is stacked on it, and goes.
	if err := os.Chdir(staging); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Chdir("/")
}

// populate binds every entry of source into the folder to.
func populate(source, to string) error {
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, at := filepath.Join(source, e.Name()), filepath.Join(to, e.Name())
		switch {
		case from == staging:
			err = os.Mkdir(at, 0o755)
		case e.Type()&os.ModeSymlink != 0:
			var target string
			if target, err = os.Readlink(from); err == nil {
				err = os.Symlink(target, at)
			}
		case e.IsDir():
			err = bind(from, at, os.Mkdir(at, 0o755), unix.MS_BIND|unix.MS_REC)
		default:
			err = bind(from, at, os.WriteFile(at, nil, 0o644), unix.MS_BIND)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bind(from, at string, made error, flags uintptr) error {
	if made != nil {
		return made
	}
	return unix.Mount(from, at, "", flags, "")
}

// become drops to the user, for good.
func become(uid int) error {
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(uid); err != nil {
		return err
	}
	return syscall.Setuid(uid)
}
