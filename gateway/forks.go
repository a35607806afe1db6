package gateway

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What a child may fork. The kernel counts all processes and threads of a user: those
// of the gateway's other children, of another gateway that this one follows, and what
// else runs as that user. It looks at each fork, and an rsync forks once more when it
// has the list of files; a limit must have room for sessions that begin until then.
const (
	// freeProcesses is the room on a host that does not tell what it has.
	freeProcesses = 1024
	// childProcesses is what one child may come to: the helper's threads and
	// the two or three processes of an rsync.
	childProcesses = 16
)

// processes is how many its user may have when a child forks.
func (s *Server) processes() uint64 {
	return max(s.hostProcesses, freeProcesses+childProcesses*uint64(s.children.Load()))
}

// hostProcesses is half of what this host lets one user have, so that nobody stops it:
// the limit of the gateway, which by default is half of the threads that memory is
// there for (kernel/fork.c), and the numbers that processes can have.
func hostProcesses() uint64 {
	var own unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &own) != nil {
		return 0
	}
	return min(own.Cur, kernelNumber("threads-max")/2, kernelNumber("pid_max")) / 2
}

// kernelNumber reads a number of the kernel's; 0 where it tells none.
func kernelNumber(name string) uint64 {
	text, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // 0 where it is none
	return n
}
