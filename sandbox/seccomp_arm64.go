package sandbox

import "golang.org/x/sys/unix"

const auditArchitecture = unix.AUDIT_ARCH_AARCH64

// architectureCalls are forbidden ones that not every architecture has. Of the
// older spellings of changing calls arm64 has only one.
var (
	architectureCalls = []uint32{
		unix.SYS_MEMFD_SECRET, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_ACCEPT, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP,
	}
	architectureChanges = []uint32{unix.SYS_RENAMEAT}
)

// openCalls tells which argument holds the flags.
var openCalls = map[uint32]uint32{unix.SYS_OPENAT: 2}
