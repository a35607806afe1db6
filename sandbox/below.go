package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// runBelow starts the program as a child of this process, which is the first of
// its process namespace, and stays until the program has ended. It reaps
// orphans; when it ends the kernel kills whoever is left.
//
// The program inherits the confinement of the calling thread. An error means
// that nothing of the program has run.
func runBelow(o Order, report *os.File) error {
	// A signal to the group is the program's. What is caught here is at its
	// default again when the program starts, which what is ignored is not.
	signal.Notify(make(chan os.Signal, 1))
	debug.SetGCPercent(-1)
	pid, err := syscall.ForkExec(o.Program, o.Args, &syscall.ProcAttr{Env: o.Env, Files: []uintptr{0, 1, 2}})
	if err != nil {
		return fmt.Errorf("start %s: %w", o.Program, err)
	}
	// These limits are too low for this process. Nothing of the client has
	// reached the program yet: the gateway waits for the report.
	err = limitProgram(pid, o.Limits)
	if errors.Is(err, unix.ESRCH) {
		err = nil // it has ended
	}
	if err == nil {
		err = ready(report)
	}
	if err != nil {
		return errors.Join(err, unix.Kill(pid, unix.SIGKILL))
	}
	report.Close()
	// Streams end when the program closes them.
	for fd := range orderDescriptor {
		unix.Close(fd)
	}
	go endWithGateway()
	return tell(await(pid))
}

// endWithGateway ends this process when the gateway has ended: nobody reads then
// what the status is written to. A program that sees the end of its streams need
// not end itself, as when it waits to open its log.
func endWithGateway() {
	// An error is told unasked.
	status := []unix.PollFd{{Fd: statusDescriptor}}
	for {
		n, err := unix.Poll(status, -1)
		switch {
		case n > 0:
			end(exitUnable)
		case !errors.Is(err, unix.EINTR):
			return
		}
	}
}

// await reaps until the process has ended.
func await(pid int) syscall.WaitStatus {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if ended == pid {
			return status
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return syscall.WaitStatus(unix.SIGKILL)
		}
	}
}

// tell hands a status to the gateway. Whether it arrives is seen there.
func tell(status syscall.WaitStatus) error {
	var word [4]byte
	binary.NativeEndian.PutUint32(word[:], uint32(status))
	_, err := unix.Write(statusDescriptor, word[:])
	return err
}
