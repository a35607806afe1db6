package sandbox

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// leastABI is the first Landlock that can let a file be moved or linked from
// one folder to another (Linux 5.19). Before, it forbids that everywhere, which
// breaks rsync's hard links and partial folders.
const leastABI = 2

// truncateABI is the first Landlock that keeps files from being cut short
// (Linux 6.2). Before, the filter of system calls does.
const truncateABI = 3

// What a child may do beneath a folder or with a file, by the words of the
// kernel's documentation (Documentation/userspace-api/landlock.rst).
const (
	fsRead     = unix.LANDLOCK_ACCESS_FS_READ_FILE
	fsList     = unix.LANDLOCK_ACCESS_FS_READ_DIR
	fsExecute  = unix.LANDLOCK_ACCESS_FS_EXECUTE
	fsTruncate = unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// fsWrite has no devices. FIFOs and sockets reach nobody, and archives
	// contain them.
	fsWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | fsTruncate |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER
	// fsFile are the rights that a rule for a file may name.
	fsFile = fsRead | fsExecute | fsTruncate | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
)

// landlockABI is the version of Landlock that this kernel has. It is zero, with
// the reason, where there is none.
func landlockABI() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	return int(v), nil
}

// handled is everything that a ruleset forbids unless a rule allows it.
func handled(abi int) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{
		Handled_access_fs: fsRead | fsList | fsExecute | fsWrite&^fsTruncate |
			unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK,
	}
	if abi >= truncateABI {
		attr.Handled_access_fs |= fsTruncate
	}
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	// 7 adds what the kernel writes to its log, and nothing that it forbids.
	return attr
}

// grant is what a child may do with an open file or beneath an open folder.
type grant struct {
	fd     int
	rights uint64
}

// restrict holds the calling thread, and all that it starts, to the grants. It
// needs no_new_privs.
func restrict(abi int, grants []grant) error {
	attr := handled(abi)
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("create a Landlock ruleset: %w", errno)
	}
	defer unix.Close(int(ruleset))
	for _, g := range grants {
		if err := allow(ruleset, g, attr.Handled_access_fs); err != nil {
			return fmt.Errorf("add a Landlock rule: %w", err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return fmt.Errorf("enter the Landlock ruleset: %w", errno)
	}
	return nil
}

// allow adds a rule with those of the grant's rights that the ruleset handles
// and that fit a file or a folder, whichever it is.
func allow(ruleset uintptr, g grant, handled uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(g.fd, &st); err != nil {
		return err
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: g.rights & handled, Parent_fd: int32(g.fd)}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rule.Allowed_access &= fsFile
	}
	if rule.Allowed_access == 0 {
		return errors.New("it allows nothing")
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
