package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Kernels without close_range with its close-on-exec flag are still on many a
// NAS; the list must then do the same.
func TestDescriptorsAreWithheldWithoutCloseRange(t *testing.T) {
	fd, err := unix.Open("/", unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := withholdListed(); err != nil {
		t.Fatal(err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor %d would reach a child: flags %#x, %v", fd, flags, err)
	}
}
