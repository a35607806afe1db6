package sandbox

import "golang.org/x/sys/unix"

const auditArchitecture = unix.AUDIT_ARCH_X86_64

// architectureCalls are forbidden ones that not every architecture has.
var architectureCalls = []uint32{
	unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS_CREATE_MODULE,
	unix.SYS_MEMFD_SECRET, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_ACCEPT, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_INOTIFY_INIT,
}

// architectureChanges are the older spellings of changing calls.
var architectureChanges = []uint32{
	unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT,
	unix.SYS_MKNOD, unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_UNLINK, unix.SYS_SYMLINK, unix.SYS_LINK, unix.SYS_RENAME, unix.SYS_RENAMEAT,
}

// openCalls tells which argument holds the flags.
var openCalls = map[uint32]uint32{unix.SYS_OPENAT: 2, unix.SYS_OPEN: 1}
