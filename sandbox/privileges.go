package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Defaults of [Limits].
const (
	defaultFiles     = 1024
	defaultProcesses = 1024
	leastMemory      = 1 << 30
)

// keptByRoot are the capabilities of a child that an order calls root: those
// with which a backup of all owners and modes is read and restored. It makes no
// devices, and no trusted attributes.
const keptByRoot = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID | 1<<unix.CAP_SETFCAP

// capabilities are the effective ones of the calling thread.
func capabilities() uint64 {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&header, &data[0]) != nil {
		return 0
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
}

// checkUser refuses a user that this process cannot become.
func (o Order) checkUser() error {
	uid, gid := os.Geteuid(), os.Getegid()
	if o.User == nil || uid == 0 || int(o.User.UID) == uid && int(o.User.GID) == gid {
		return nil
	}
	return fmt.Errorf("user %d and group %d: only root starts a child as another user; this is user %d, group %d", o.User.UID, o.User.GID, uid, gid)
}

// surrender makes the process the order's user, without supplementary groups
// and without capabilities but, for root, the few that it keeps.
func surrender(u *User) error {
	var kept uint64
	root := os.Geteuid() == 0
	if u == nil && root {
		return errors.New("no user is named")
	}
	if root && u.UID == 0 {
		kept = keptByRoot & capabilities()
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	if err := bound(kept); err != nil {
		return fmt.Errorf("bound the capabilities: %w", err)
	}
	if root {
		// These reach every thread of the helper.
		err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(int(u.GID), int(u.GID), int(u.GID)), syscall.Setresuid(int(u.UID), int(u.UID), int(u.UID)))
		if err != nil {
			return fmt.Errorf("become user %d, group %d: %w", u.UID, u.GID, err)
		}
	}
	set := [2]unix.CapUserData{{Effective: uint32(kept), Permitted: uint32(kept)}, {Effective: uint32(kept >> 32), Permitted: uint32(kept >> 32)}}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &set[0]); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	return nil
}

// bound takes what is not kept out of what a program could ever gain. Without
// CAP_SETPCAP that cannot be done, and no_new_privs has to do.
func bound(kept uint64) error {
	if capabilities()&(1<<unix.CAP_SETPCAP) == 0 {
		return nil
	}
	for c := uintptr(0); c < 64; c++ {
		if kept&(1<<c) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		// The kernel's last capability is behind us.
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noCore is the limit of core files. One byte is too little for a file, and with
// it the kernel calls no handler of crashes either, which it does with none: that
// would be a program of root's on the host, fed by the child (fs/coredump.c).
const noCore = 1

// limitSelf sets the limits that the helper can live with.
func limitSelf(l Limits) error {
	return lowerAll(0, map[int]uint64{unix.RLIMIT_CORE: noCore, unix.RLIMIT_NOFILE: l.files()})
}

// limitProgram sets the limits of a program that the helper may be too large
// for. Zero is this process, which must then become the program.
func limitProgram(pid int, l Limits) error {
	limits := map[int]uint64{unix.RLIMIT_AS: l.memory(), unix.RLIMIT_NPROC: l.processes()}
	if l.NoData {
		limits[unix.RLIMIT_FSIZE] = 0
	}
	return lowerAll(pid, limits)
}

func lowerAll(pid int, limits map[int]uint64) error {
	for resource, limit := range limits {
		if err := lower(pid, resource, limit); err != nil {
			return fmt.Errorf("limit resource %d to %d: %w", resource, limit, err)
		}
	}
	return nil
}

// lower sets both limits of a resource, but never above what they are.
func lower(pid, resource int, limit uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		return err
	}
	limit = min(limit, now.Max)
	return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil)
}

func (l Limits) files() uint64     { return or(l.Files, defaultFiles) }
func (l Limits) processes() uint64 { return or(l.Processes, defaultProcesses) }

func (l Limits) memory() uint64 {
	var info unix.Sysinfo_t
	if l.Memory != 0 || unix.Sysinfo(&info) != nil {
		return or(l.Memory, leastMemory)
	}
	return max(uint64(info.Totalram)*uint64(info.Unit)/4*3, leastMemory)
}

func or(value, otherwise uint64) uint64 {
	if value == 0 {
		return otherwise
	}
	return value
}
