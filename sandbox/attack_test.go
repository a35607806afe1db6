package sandbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

const (
	none       = sandbox.None
	namespaces = sandbox.Namespaces
	landlock   = sandbox.Landlock
	full       = sandbox.Full
)

// An attack is what somebody tries who has taken a child over. All files belong
// to the child's own user, and the process that it attacks runs as that user
// too: only the confinement stands between them.
type attack struct {
	name string
	try  func(w world) error
	// writing and reading are the levels at which the attack succeeds: where
	// the child has a writable path, and where it has none. They are what
	// docs/threat-model.md tells of each level.
	writing, reading []sandbox.Level
	// root are the levels at which it is the other way round for a child
	// that an order calls root.
	root []sandbox.Level
}

// succeeds reports what the table expects of an attack.
func (a attack) succeeds(l sandbox.Level, writable, root bool) bool {
	expected := a.reading
	if writable {
		expected = a.writing
	}
	return slices.Contains(expected, l) != (root && slices.Contains(a.root, l))
}

// world is what one attack finds. Each has its own files, so that none changes
// what the next finds.
type world struct {
	// outside and inside are a folder each, with a file and an empty folder.
	outside, inside string
	// through is a path to outside by way of a link that lies inside.
	through string
	// rule is the rule's path, in which inside lies. It has a program, and
	// one that belongs to another user who may be had for the running of it.
	rule string
	// socket and name are local sockets that wait for datagrams, outside:
	// the first has a path, and the second is abstract.
	socket, name string
	// other is a process that is no child of the attacker.
	other int
	// program is the attacker.
	program string
}

func (w world) file() string   { return filepath.Join(w.outside, "file") }
func (w world) folder() string { return filepath.Join(w.outside, "folder") }
func (w world) mine() string   { return filepath.Join(w.inside, "file") }
func (w world) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(w.other), name)
}

// Shorthands of the table.
var (
	never   []sandbox.Level
	always  = []sandbox.Level{none, namespaces, landlock, full}
	visible = []sandbox.Level{none, landlock}
	unheld  = []sandbox.Level{none}
	// ending are the levels with a process namespace, which ends with the
	// child and takes everyone along.
	ending = []sandbox.Level{namespaces, full}
)

// signals are the attacks that an older Landlock lets through. They send what
// programs ignore by default, but not SIGCONT: that, the kernel lets everyone send
// who shares a session of terminals.
var signals = []string{"signal a process", "signal a process by its handle", "queue a signal for a process"}

// limited is how many processes the child of the table may have, and how many
// files it may open.
const limited = 200

// noKey is a key under which nothing is shared, and listMountCall a call that Go
// does not name yet (asm-generic/unistd.h). noRandomPlaces is a personality
// (ADDR_NO_RANDOMIZE).
const (
	noRandomPlaces = 0x40000

	noKey         = 0x506f7374
	listMountCall = 458
)

// A chapter is a group of attacks, under the words with which
// docs/threat-model.md introduces them.
type chapter struct {
	title string
	// spoils says that the attacks change files, so that each needs its own.
	spoils  bool
	attacks []attack
}

// commonPlace is that of the files of attacks that change none.
const commonPlace = "common"

// place names the files of an attack.
func (c chapter) place(a attack) string {
	if c.spoils {
		return strings.ReplaceAll(c.title+" "+a.name, "/", " ")
	}
	return commonPlace
}

// attacks are those of all chapters.
func attacks() []attack {
	var list []attack
	for _, c := range chapters {
		list = append(list, c.attacks...)
	}
	return list
}

// processes is the chapter that is tried on more than one process.
const processes = "Reach another process: one of the same user, another session, the gateway"

// chapters are the table of what each level stops, and of what it does not.
var chapters = []chapter{
	{"Read outside the rule's path", false, []attack{
		{"list a folder", func(w world) error { return opened(w.outside, unix.O_RDONLY|unix.O_DIRECTORY) }, unheld, unheld, nil},
		{"read a file", func(w world) error { return opened(w.file(), unix.O_RDONLY) }, unheld, unheld, nil},
		{"read a file through a planted link", func(w world) error { return opened(filepath.Join(w.through, "file"), unix.O_RDONLY) }, unheld, unheld, nil},
		{"read a file through /proc/self/root", func(w world) error { return opened("/proc/self/root"+w.file(), unix.O_RDONLY) }, unheld, unheld, nil},
		{"read a file that was opened for reference", func(w world) error { return reopened(w.file()) }, unheld, unheld, nil},
		{"read a file by its handle", func(w world) error { return byHandle(w.file()) }, never, never, nil},
		{"read a system file that no program needs", func(world) error { return opened("/etc/shells", unix.O_RDONLY) }, unheld, unheld, nil},
		{"see what a link leads to", func(w world) error { return present(unix.Readlink(filepath.Join(w.outside, "link"), make([]byte, 64))) }, visible, visible, nil},
		{"look a file up: its size, owner, mode and times", func(w world) error { return unix.Stat(w.file(), new(unix.Stat_t)) }, visible, visible, nil},
		{"read a file's attributes", func(w world) error { return present(unix.Getxattr(w.file(), "user.mark", make([]byte, 64))) }, visible, visible, nil},
		{"enter a folder", func(w world) error { return entered(w.outside) }, visible, visible, nil},
		{"watch a folder", watched, never, never, nil},
		{"watch everybody's use of files", func(world) error { return descriptor(unix.FanotifyInit(unix.FAN_REPORT_FID, 0)) }, never, never, nil},
		{"read the list of mounts", func(world) error { return opened("/proc/self/mountinfo", unix.O_RDONLY) }, unheld, unheld, nil},
		{"ask for the list of mounts", func(world) error { return call(listMountCall, 0, 0, 0) }, never, never, nil},
		{"open a device", func(world) error { return opened("/dev/zero", unix.O_RDONLY) }, unheld, unheld, nil},
	}},
	{"Write outside the rule's path", true, []attack{
		{"create a file", func(w world) error { return opened(filepath.Join(w.outside, "new"), unix.O_CREAT|unix.O_WRONLY) }, unheld, unheld, nil},
		{"write a file", func(w world) error { return opened(w.file(), unix.O_WRONLY) }, unheld, unheld, nil},
		{"write a file through a planted link", func(w world) error { return opened(filepath.Join(w.through, "file"), unix.O_WRONLY) }, unheld, unheld, nil},
		{"cut a file short by its path", func(w world) error { return unix.Truncate(w.file(), 0) }, unheld, unheld, nil},
		{"cut a file short while opening it", func(w world) error { return opened(w.file(), unix.O_RDONLY|unix.O_TRUNC) }, unheld, unheld, nil},
		{"rename a file", func(w world) error { return unix.Rename(w.file(), w.file()+".new") }, unheld, unheld, nil},
		{"exchange two files", func(w world) error {
			return unix.Renameat2(unix.AT_FDCWD, w.file(), unix.AT_FDCWD, w.mine(), unix.RENAME_EXCHANGE)
		}, unheld, unheld, nil},
		{"move a file in", func(w world) error { return unix.Rename(w.file(), filepath.Join(w.inside, "in")) }, unheld, unheld, nil},
		{"move a file out", func(w world) error { return unix.Rename(w.mine(), filepath.Join(w.outside, "out")) }, unheld, unheld, nil},
		{"link a file into the rule's path", func(w world) error { return unix.Link(w.file(), filepath.Join(w.inside, "into")) }, unheld, unheld, nil},
		{"link a file out of the rule's path", func(w world) error { return unix.Link(w.mine(), filepath.Join(w.outside, "linked")) }, unheld, unheld, nil},
		{"make a symbolic link", func(w world) error { return unix.Symlink("x", filepath.Join(w.outside, "symlink")) }, unheld, unheld, nil},
		{"make a folder", func(w world) error { return unix.Mkdir(filepath.Join(w.outside, "made"), 0o700) }, unheld, unheld, nil},
		{"make a FIFO", func(w world) error { return unix.Mkfifo(filepath.Join(w.outside, "fifo"), 0o600) }, unheld, unheld, nil},
		{"remove a folder", func(w world) error { return unix.Rmdir(w.folder()) }, unheld, unheld, nil},
		{"delete a file", func(w world) error { return unix.Unlink(w.file()) }, unheld, unheld, nil},
		{"put another folder in the rule's place", replaceRule, unheld, unheld, nil},
		{"leave a file in shared memory", sharedFile, unheld, unheld, nil},
	}},
	{"Change what belongs to a file outside (as root: to any file)", true, []attack{
		{"change a file's mode", func(w world) error { return unix.Chmod(w.file(), 0o666) }, visible, unheld, nil},
		{"change a file's owner", func(w world) error { return unix.Chown(w.file(), os.Getuid(), os.Getgid()) }, visible, unheld, nil},
		{"change a file's times", func(w world) error { return unix.Utimes(w.file(), make([]unix.Timeval, 2)) }, visible, unheld, nil},
		{"set an attribute of a file", func(w world) error { return unix.Setxattr(w.file(), "user.x", []byte("x"), 0) }, visible, unheld, nil},
		{"remove an attribute of a file", func(w world) error { return unix.Removexattr(w.file(), "user.mark") }, visible, unheld, nil},
		{"set an access list of a file", func(w world) error { return unix.Setxattr(w.file(), "system.posix_acl_access", accessList(), 0) }, visible, unheld, nil},
	}},
	{"In the rule's path", true, []attack{
		{"read", func(w world) error { return opened(w.mine(), unix.O_RDONLY) }, always, always, nil},
		{"list", func(w world) error { return opened(w.inside, unix.O_RDONLY|unix.O_DIRECTORY) }, always, always, nil},
		{"write", func(w world) error { return opened(w.mine(), unix.O_WRONLY) }, always, unheld, nil},
		{"create", func(w world) error { return opened(filepath.Join(w.inside, "new"), unix.O_CREAT|unix.O_WRONLY) }, always, unheld, nil},
		{"cut short", func(w world) error { return opened(w.mine(), unix.O_RDONLY|unix.O_TRUNC) }, always, unheld, nil},
		{"delete", func(w world) error { return unix.Unlink(w.mine()) }, always, unheld, nil},
		{"change a mode", func(w world) error { return unix.Chmod(w.mine(), 0o600) }, always, unheld, nil},
		{"change an access list", func(w world) error { return unix.Setxattr(w.mine(), "system.posix_acl_access", accessList(), 0) }, always, unheld, nil},
		{"change a flag", func(w world) error { return flagged(w.mine()) }, always, unheld, nil},
		{"make a device", func(w world) error { return unix.Mknod(filepath.Join(w.inside, "null"), unix.S_IFCHR|0o666, 1<<8|3) }, never, never, nil},
		{"run a program", func(w world) error { return runs(nil, filepath.Join(w.rule, "program"), attackVerb) }, unheld, unheld, nil},
		{"run a program by its descriptor", func(w world) error {
			return runs(nil, w.program, attackVerb, descriptorWord, filepath.Join(w.rule, "program"))
		}, unheld, unheld, nil},
		{"load a library", func(w world) error { return mapped(filepath.Join(w.rule, "program")) }, visible, visible, nil},
	}},
	{"Run programs and gain rights", false, []attack{
		{"run its own program again", func(w world) error { return runs(nil, w.program, attackVerb) }, always, always, nil},
		{"run another program", func(world) error { return runs(nil, "/bin/sh", "-c", ":") }, unheld, unheld, nil},
		{"run a program from memory", func(world) error { return descriptor(unix.MemfdCreate("x", 0)) }, never, never, nil},
		{"run code that it brings along", func(world) error { return mappedMemory() }, always, always, nil},
		{"become the owner of a setuid program", func(w world) error {
			return runs(nil, filepath.Join(w.rule, "setuid"), attackVerb, ownerWord)
		}, never, never, nil},
		{"become another user", func(w world) error {
			return runs(&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1, NoSetGroups: true}}, w.program, attackVerb)
		}, never, never, nil},
		{"take capabilities", takeCapabilities, never, never, nil},
		{"use what the helper has open", func(w world) error { return runs(nil, w.program, attackVerb, leakWord) }, never, never, nil},
	}},
	{processes, false, []attack{
		{"list the processes", func(world) error { return opened("/proc", unix.O_RDONLY|unix.O_DIRECTORY) }, unheld, unheld, nil},
		{"see a process", func(w world) error { return unix.Stat(w.proc(""), new(unix.Stat_t)) }, visible, visible, nil},
		{"ask whether a process lives", func(w world) error { return lives(w.other) }, visible, visible, nil},
		{"read a process's environment", func(w world) error { return opened(w.proc("environ"), unix.O_RDONLY) }, unheld, unheld, unheld},
		{"open a process's memory through /proc", func(w world) error { return opened(w.proc("mem"), unix.O_RDWR) }, unheld, unheld, unheld},
		{"use a process's descriptor", func(w world) error { return opened(w.proc("fd/2"), unix.O_WRONLY) }, unheld, unheld, unheld},
		{"read a file through a process's root", func(w world) error { return opened(w.proc("root")+w.file(), unix.O_RDONLY) }, unheld, unheld, unheld},
		{"enter a process's namespaces", func(w world) error { return joined(w.proc("ns/uts")) }, never, never, nil},
		{"signal a process", func(w world) error { return unix.Kill(w.other, unix.SIGWINCH) }, unheld, unheld, nil},
		{"signal a process by its handle", func(w world) error { return signalHandle(w.other) }, unheld, unheld, nil},
		{"queue a signal for a process", func(w world) error { return queueSignal(w.other) }, unheld, unheld, nil},
		{"have the kernel signal a process", func(w world) error { return kernelSignal(w.other) }, never, never, nil},
		{"trace a process", func(w world) error { return traced(w, w.other) }, never, never, nil},
		{"read a process's memory by a call", func(w world) error { return call(unix.SYS_PROCESS_VM_READV, uintptr(w.other), 0, 0) }, never, never, nil},
		{"write a process's memory by a call", func(w world) error { return call(unix.SYS_PROCESS_VM_WRITEV, uintptr(w.other), 0, 0) }, never, never, nil},
		{"limit a process", func(w world) error { return limitOther(w.other) }, never, never, nil},
		{"slow a process down", func(w world) error { return unix.Setpriority(unix.PRIO_PROCESS, w.other, 19) }, never, never, nil},
		{"pin a process", func(w world) error { return unix.SchedSetaffinity(w.other, &unix.CPUSet{1}) }, never, never, nil},
		{"trace its parent", func(w world) error { return traced(w, os.Getppid()) }, never, never, nil},
		{"leave its group (a namespace of processes ends with the session even so)", func(w world) error { return runs(nil, w.program, attackVerb, leaveWord) }, ending, ending, nil},
		{"give the gateway a child", func(w world) error {
			return present(forked(&syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT}, w.program, attackVerb))
		}, never, never, nil},
	}},
	{"Use a network, or what else is shared", false, []attack{
		{"open a TCP socket", func(world) error { return socketed(unix.AF_INET, unix.SOCK_STREAM) }, never, never, nil},
		{"open a UDP socket", func(world) error { return socketed(unix.AF_INET6, unix.SOCK_DGRAM) }, never, never, nil},
		{"open a local socket", func(world) error { return socketed(unix.AF_UNIX, unix.SOCK_STREAM) }, never, never, nil},
		{"open a socket to the kernel", func(world) error { return socketed(unix.AF_NETLINK, unix.SOCK_RAW) }, never, never, nil},
		{"open a socket to the host of a virtual machine", func(world) error { return socketed(unix.AF_VSOCK, unix.SOCK_STREAM) }, never, never, nil},
		{"send to a local socket", func(w world) error { return sent(w.socket) }, never, never, nil},
		{"send to an abstract socket", func(w world) error { return sent(w.name) }, never, never, nil},
		{"open a pair of connected sockets", func(world) error { return paired(unix.SOCK_STREAM) }, always, always, nil},
		{"share memory", func(world) error { return call(unix.SYS_SHMGET, noKey, 0, 0) }, never, never, nil},
		{"use shared memory of others", func(world) error { return call(unix.SYS_SHMAT, ^uintptr(0), 0, 0) }, never, never, nil},
		{"open a queue of messages", func(world) error { return call(unix.SYS_MSGGET, noKey, 0, 0) }, never, never, nil},
		{"use a keyring", func(world) error { return call(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0) }, never, never, nil},
		{"type into a terminal", func(world) error { return call(unix.SYS_IOCTL, 0, unix.TIOCSTI, 0) }, never, never, nil},
	}},
	{"Attack the kernel, or the machine", false, []attack{
		{"mount", func(w world) error { return allowed(unix.Mount("none", w.inside, "none-such", 0, "")) }, never, never, nil},
		{"copy a tree of mounts", func(world) error { return call(unix.SYS_OPEN_TREE, ^uintptr(0), 0, 1) }, never, never, nil},
		{"change the root", func(world) error { return unix.Chroot("/") }, never, never, nil},
		{"leave a namespace", func(world) error { return call(unix.SYS_UNSHARE, unix.CLONE_FS|unix.CLONE_NEWUTS, 0, 0) }, never, never, nil},
		{"clone into a user namespace", func(w world) error {
			return runs(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, w.program, attackVerb)
		}, never, never, nil},
		{"use io_uring", func(world) error { return call(unix.SYS_IO_URING_SETUP, 1, 0, 0) }, never, never, nil},
		{"load a program into the kernel", func(world) error { return call(unix.SYS_BPF, 0, 0, 0) }, never, never, nil},
		{"load a module", func(world) error { return call(unix.SYS_FINIT_MODULE, ^uintptr(0), 0, 0) }, never, never, nil},
		{"load another kernel", func(world) error { return call(unix.SYS_KEXEC_LOAD, 0, 1<<20, 0) }, never, never, nil},
		{"watch performance counters", func(world) error { return call(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0) }, never, never, nil},
		{"handle page faults", func(world) error { return call(unix.SYS_USERFAULTFD, ^uintptr(0), 0, 0) }, never, never, nil},
		{"read the kernel's messages", func(world) error { return call(unix.SYS_SYSLOG, 10, 0, 0) }, never, never, nil},
		{"set the clock", func(world) error { return call(unix.SYS_CLOCK_SETTIME, 0, 0, 0) }, never, never, nil},
		{"restart the machine", func(world) error { return call(unix.SYS_REBOOT, 0, 0, 0) }, never, never, nil},
		{"run as an older system", func(world) error { return call(unix.SYS_PERSONALITY, noRandomPlaces, 0, 0) }, never, never, nil},
		{"call by the numbers of x32", func(w world) error { return runs(nil, w.program, attackVerb, x32Word) }, never, never, nil},
	}},
	{"Take more than its limit", false, []attack{
		{"of open files", func(world) error { return many(2 * limited) }, never, never, nil},
		{"of memory", func(world) error { return taken() }, never, never, nil},
		{"of processes and threads", func(w world) error { return runs(nil, w.program, attackVerb, threadsWord) }, never, never, always},
		{"of core files, by which the host's handler of crashes is called", func(world) error {
			return unix.Prlimit(0, unix.RLIMIT_CORE, new(unix.Rlimit), nil)
		}, never, never, nil},
	}},
}
