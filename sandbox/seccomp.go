package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h). Both architectures are
// little-endian: the low half of an argument comes first.
const (
	dataNumber       = 0
	dataArchitecture = 4
	dataArguments    = 16
)

// newestCall is the last system call of Linux 6.18 (file_setattr). What comes
// after it is not there, as far as a child can tell.
const newestCall = fileSetattr

// answer is what a call gets that must not be made.
type answer uint32

const (
	refused answer = unix.SECCOMP_RET_ERRNO | answer(unix.EPERM)
	absent  answer = unix.SECCOMP_RET_ERRNO | answer(unix.ENOSYS)
	deadly  answer = unix.SECCOMP_RET_KILL_PROCESS
)

// foreignFlags are those of clone that make a namespace, or give the new process
// to the caller's parent: that is the gateway, which would not bury it.
const foreignFlags = unix.CLONE_PARENT | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME

// forbiddenCalls are of no use to a backup and of much to whoever has taken the
// program over. architecture adds its own.
var forbiddenCalls = []uint32{
	// The tree of mounts and the root.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_UNSHARE, unix.SYS_SETNS, statmount, listmount, openTreeAttr,
	// Files that no path leads to.
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_MEMFD_CREATE,
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
	unix.SYS_KCMP, unix.SYS_PIDFD_GETFD, unix.SYS_GET_ROBUST_LIST,
	// Ways out by what is shared: sockets, and what lives outside the tree.
	// A pair of sockets, which is allowed, is connected and stays so.
	unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4,
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL,
	unix.SYS_SEMGET, unix.SYS_SEMCTL, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	// Who does what with files that the child may not open.
	unix.SYS_FANOTIFY_INIT, unix.SYS_INOTIFY_INIT1,
	// Wide parts of the kernel with many holes in the past.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	// The machine.
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD,
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
	unix.SYS_SYSLOG, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
}

// absentCalls are answered as by a kernel that lacks them, so that programs
// take another way. clone3 hides its flags from the filter.
var absentCalls = []uint32{
	unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}

// changingCalls change what a path or a descriptor leads to. A child without a
// writable path makes none of them: that closes for it what Landlock leaves
// open outside its paths.
var changingCalls = []uint32{
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
	unix.SYS_TRUNCATE, unix.SYS_MKNODAT, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT, unix.SYS_RENAMEAT2,
	setxattrat, removexattrat, fileSetattr,
}

// changingControls do the same by ioctl (linux/fs.h, linux/fsverity.h,
// linux/fscrypt.h), and need no more than a file that is open for reading.
var changingControls = []uint32{
	unix.FS_IOC_SETFLAGS,
	0x401c5820, // FS_IOC_FSSETXATTR
	0x40087602, // FS_IOC_SETVERSION
	unix.FS_IOC_ENABLE_VERITY,
	unix.FS_IOC_SET_ENCRYPTION_POLICY,
}

// System calls that are too new for the list of Go (asm-generic/unistd.h). All
// architectures share their numbers.
const (
	statmount     = 457
	listmount     = 458
	setxattrat    = 463
	removexattrat = 466
	openTreeAttr  = 467
	fileSetattr   = 469
)

// namingCalls are made with the number of a process, of which they change
// something. Zero is the caller and is allowed; in a process namespace the other
// numbers are the child's own.
var namingCalls = []uint32{
	unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETSCHEDULER,
}

// strayingCalls take a process out of its group, by which a child without a
// process namespace is ended, or reach others by their user or group.
var strayingCalls = []uint32{
	unix.SYS_SETSID, unix.SYS_SETPGID, unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
}

// signallingCalls are the ways to signal a process that [filter.holdSignals]
// does not judge.
var signallingCalls = []uint32{
	unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL,
}

// socketTypes are the bits of a socket's type that are not flags
// (linux/net.h).
const socketTypes = 0xf

// fileSetOwner is FIOSETOWN (asm-generic/sockios.h).
const fileSetOwner = 0x8901

// held is what a filter depends on.
type held struct {
	// writable lets the child change files.
	writable bool
	// uncut keeps files from being cut short where Landlock does not.
	uncut bool
	// grouped keeps the child in its group.
	grouped bool
	// self is the only process that the child may signal, zero for those
	// that the kernel lets it.
	self int
}

// heldBy is for a child that this process will become, or start in a process
// namespace of its own.
func heldBy(o Order, p plan) held {
	h := held{
		writable: o.writable() || p.Level == None,
		uncut:    p.Level.landlock() && p.ABI < truncateABI,
		grouped:  !p.ownPIDs(o),
	}
	if o.HostPIDs {
		h.self = os.Getpid()
	}
	return h
}

// filter is a program for the kernel's packet filter.
type filter []unix.SockFilter

func (f *filter) add(code uint16, k uint32, yes, no uint8) {
	*f = append(*f, unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k})
}

func (f *filter) load(offset uint32) { f.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (f *filter) give(a answer)      { f.add(unix.BPF_RET|unix.BPF_K, uint32(a), 0, 0) }

// on answers calls with a number. The number is in the accumulator, before and
// after.
func (f *filter) on(number uint32, a answer) {
	f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, number, 0, 1)
	f.give(a)
}

// when adds a body that only calls with a number run. The body must not fall
// through: when lets the call pass after it.
func (f *filter) when(number uint32, body func(*filter)) {
	var inner filter
	body(&inner)
	inner.give(unix.SECCOMP_RET_ALLOW)
	f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, number, 0, uint8(len(inner)))
	*f = append(*f, inner...)
}

// argument loads the low half of an argument: all that the kernel looks at
// where the argument is an int.
func (f *filter) argument(i uint32) { f.load(dataArguments + 8*i) }

// calls is the filter for a child.
func calls(h held) filter {
	var f filter
	f.load(dataArchitecture)
	f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, auditArchitecture, 1, 0)
	f.give(deadly)
	f.load(dataNumber)
	// amd64 has a second set of numbers (x32), which this list would miss.
	f.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0x40000000, 0, 1)
	f.give(deadly)
	f.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, newestCall, 0, 1)
	f.give(absent)
	for _, number := range h.forbidden() {
		f.on(number, refused)
	}
	for _, number := range absentCalls {
		f.on(number, absent)
	}
	if h.uncut {
		f.holdTruncation()
	}
	if h.grouped {
		f.holdOthers()
	}
	if h.self != 0 {
		f.holdSignals(uint32(h.self))
	}
	f.holdLimits(h.grouped)
	f.judgeArguments(h)
	f.give(unix.SECCOMP_RET_ALLOW)
	return f
}

// forbidden are the calls that are refused whatever their arguments.
func (h held) forbidden() []uint32 {
	list := slices.Concat(forbiddenCalls, architectureCalls)
	if !h.writable {
		list = slices.Concat(list, changingCalls, architectureChanges)
	}
	if h.grouped {
		list = append(list, strayingCalls...)
	}
	if h.self != 0 {
		list = append(list, signallingCalls...)
	}
	return list
}

// judgeArguments adds the calls that are allowed in part.
func (f *filter) judgeArguments(h held) {
	// A datagram may be sent to anybody even by one of a pair.
	f.when(unix.SYS_SOCKETPAIR, func(f *filter) {
		f.argument(0)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.AF_UNIX, 1, 0)
		f.give(refused)
		f.argument(1)
		f.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, socketTypes, 0, 0)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.SOCK_STREAM, 1, 0)
		f.give(refused)
	})
	f.when(unix.SYS_CLONE, func(f *filter) {
		f.argument(0)
		f.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, foreignFlags, 0, 1)
		f.give(refused)
	})
	// Asking for the present one is what libraries do.
	f.when(unix.SYS_PERSONALITY, func(f *filter) {
		f.argument(0)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0xffffffff, 1, 0)
		f.give(refused)
	})
	// The first two put words into a terminal as if its user had typed them.
	// The others, and those of fcntl, have the kernel send a signal to a
	// process of the caller's choice.
	controls := []uint32{unix.TIOCSTI, unix.TIOCLINUX, fileSetOwner, unix.SIOCSPGRP}
	if !h.writable {
		controls = append(controls, changingControls...)
	}
	f.refuseArgument(unix.SYS_IOCTL, 1, controls...)
	f.refuseArgument(unix.SYS_FCNTL, 1, unix.F_SETOWN, unix.F_SETOWN_EX, unix.F_SETSIG)
}

// refuseArgument refuses a call where an argument has one of the values.
func (f *filter) refuseArgument(number, i uint32, values ...uint32) {
	f.when(number, func(f *filter) {
		f.argument(i)
		for _, value := range values {
			f.on(value, refused)
		}
	})
}

// holdOthers forbids what changes a process by its number. Numbers of the
// child's own processes are refused too, since they cannot be told.
func (f *filter) holdOthers() {
	for _, number := range namingCalls {
		f.when(number, func(f *filter) {
			f.argument(0)
			f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, 0)
			f.give(refused)
		})
	}
}

// holdLimits keeps the limit of core files as it is: another one would call the
// host's handler of crashes. grouped also keeps off the limits of others.
func (f *filter) holdLimits(grouped bool) {
	f.refuseArgument(unix.SYS_SETRLIMIT, 0, unix.RLIMIT_CORE)
	f.when(unix.SYS_PRLIMIT64, func(f *filter) {
		if grouped {
			f.argument(0)
			f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, 0)
			f.give(refused)
		}
		f.argument(1)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.RLIMIT_CORE, 0, 5)
		// Who gives no new limit, only asks.
		f.load(dataArguments + 8*2)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 0, 2)
		f.load(dataArguments + 8*2 + 4)
		f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, 0)
		f.give(refused)
	})
}

// holdSignals lets a process signal itself, and ask with signal zero whether
// another lives.
func (f *filter) holdSignals(self uint32) {
	for number, signal := range map[uint32]uint32{unix.SYS_KILL: 1, unix.SYS_TKILL: 1, unix.SYS_TGKILL: 2} {
		f.when(number, func(f *filter) {
			f.argument(signal)
			f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 3, 0)
			f.argument(0)
			f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, self, 1, 0)
			f.give(refused)
		})
	}
}

// holdTruncation forbids what Landlock learnt with its third version: cutting a
// file by its path, or by opening it for reading. openat2 hides its flags.
func (f *filter) holdTruncation() {
	f.on(unix.SYS_TRUNCATE, refused)
	f.on(unix.SYS_OPENAT2, absent)
	for number, flags := range openCalls {
		f.when(number, func(f *filter) {
			f.argument(flags)
			f.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, unix.O_TRUNC|unix.O_ACCMODE, 0, 0)
			f.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.O_TRUNC, 0, 1)
			f.give(refused)
		})
	}
}

// canFilter reports whether this kernel filters system calls.
func canFilter() bool {
	if auditArchitecture == 0 {
		return false
	}
	// Without a program the kernel that has filters complains of the address.
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0, 0, 0)
	return errors.Is(err, unix.EFAULT)
}

// install puts the filter on every thread of this process. It needs
// no_new_privs and cannot be undone.
func (f filter) install() error {
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	at, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	if at != 0 {
		return fmt.Errorf("filter system calls: thread %d has another filter", at)
	}
	return nil
}
