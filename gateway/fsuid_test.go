package gateway

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// filesystemUser runs f in a thread that reaches files with another user's
// rights. The thread ends with f.
func filesystemUser(t *testing.T, uid int, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread is spoilt
		if err := unix.Setfsuid(uid); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}
