package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clock is the time of day that a gateway sees: the real one and a jump. No namespace
// has a time of day of its own. But a program without a vDSO asks the kernel each
// time, and a filter of system calls (seccomp_unotify(2)) has another process answer.
// All other clocks, and those of the gateway's children, are the real ones.
type clock struct {
	// jump is in nanoseconds.
	jump atomic.Int64
	// answered counts the questions.
	answered atomic.Int64
}

// set has the clock be so much ahead of the real one from now on.
func (c *clock) set(ahead time.Duration) { c.jump.Store(int64(ahead)) }

// start starts a command whose clock it is.
func (c *clock) start(cmd *exec.Cmd) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "clock"), os.NewFile(uintptr(ends[1]), "clock")
	defer ours.Close()
	defer theirs.Close()
	program, err := exec.LookPath("clocked")
	if err != nil {
		return err
	}
	cmd.Path, cmd.Args = program, append([]string{"clocked"}, cmd.Args...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr.Ptrace = true
	// A process is traced by a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	listener, err := c.trace(cmd.Process.Pid, ours)
	if err != nil {
		cmd.Process.Kill()
		return err
	}
	go c.answer(listener)
	return nil
}

// trace leads a process that has just become clockedMain to where it is the command,
// and takes its vDSO from that. It returns what its questions come by.
func (c *clock) trace(pid int, ours *os.File) (listener int, err error) {
	for programs := 0; ; {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			return 0, err
		}
		pass := 0 // a signal of its own, such as the one that Go has for its threads
		switch {
		case !status.Stopped():
			return 0, fmt.Errorf("the command ended before it began: %v", status)
		case status.StopSignal() == syscall.SIGTRAP:
			programs++
		default:
			pass = int(status.StopSignal())
		}
		if programs == 2 {
			listener, err = receiveFile(ours)
			return listener, errors.Join(err, hideVDSO(pid), syscall.PtraceDetach(pid))
		}
		if err := syscall.PtraceCont(pid, pass); err != nil {
			return 0, err
		}
	}
}

// The entries of the auxiliary vector (getauxval(3)).
const (
	atIgnore      = 1
	atSysinfoEHDR = 33
)

// hideVDSO takes the vDSO from a program that has not begun, by the table that the
// kernel put behind its environment.
func hideVDSO(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	at, err := strconv.ParseUint(fields[25], 10, 64) // startstack, proc(5)
	if err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	word := func() uint64 {
		var b [8]byte
		if _, readErr := memory.ReadAt(b[:], int64(at)); readErr != nil {
			err = readErr
		}
		at += 8
		return binary.NativeEndian.Uint64(b[:])
	}
	at += (word() + 1) * 8 // the arguments
	for err == nil && word() != 0 {
	}
	for err == nil {
		place := int64(at)
		key := word()
		word() // its value
		switch key {
		case 0:
			return errors.New("the program has no vDSO")
		case atSysinfoEHDR:
			_, err = memory.WriteAt(binary.NativeEndian.AppendUint64(nil, atIgnore), place)
			return err
		}
	}
	return err
}

// receiveFile takes the descriptor that came over a socket.
func receiveFile(from *os.File) (int, error) {
	conn, err := net.FileConn(from)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("%d messages, %w", len(messages), err)
	}
	files, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return files[0], nil
}

// question and reply are struct seccomp_notif and seccomp_notif_resp.
type question struct {
	id          uint64
	pid, flags  uint32
	number      int32
	arch        uint32
	instruction uint64
	args        [6]uint64
}

type reply struct {
	id     uint64
	value  int64
	failed int32
	flags  uint32
}

// answer answers until nobody is left who could ask.
func (c *clock) answer(listener int) {
	defer unix.Close(listener)
	for {
		waiting := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(waiting, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || waiting[0].Revents&unix.POLLIN == 0 {
			return
		}
		var q question
		if !control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q)) {
			continue // who asked has ended
		}
		now := time.Now().Add(time.Duration(c.jump.Load()))
		text := binary.NativeEndian.AppendUint64(nil, uint64(now.Unix()))
		text = binary.NativeEndian.AppendUint64(text, uint64(now.Nanosecond()))
		local := []unix.Iovec{{Base: &text[0], Len: uint64(len(text))}}
		_, err := unix.ProcessVMWritev(int(q.pid), local, []unix.RemoteIovec{{Base: uintptr(q.args[1]), Len: len(text)}}, 0)
		r := reply{id: q.id}
		if err != nil {
			r.failed = -int32(unix.EFAULT)
		}
		c.answered.Add(1)
		control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	}
}

func control(fd int, request uint, argument unsafe.Pointer) bool {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument))
	return errno == 0
}

// A filter, and who traces it, belong to a thread. What locks it before main is the
// first thread of a process, which stays when another program takes its place.
//
//nolint:gochecknoinits // nothing later can choose the thread
func init() {
	if filepath.Base(os.Args[0]) == "clocked" {
		runtime.LockOSThread()
	}
}

// clockedMain is the command "clocked COMMAND ARG...": it hands over what its
// questions for the time of day are answered by, and becomes the command.
func clockedMain() {
	err := clocked(os.Args[1:])
	fmt.Fprintln(os.Stderr, "clocked:", err)
	os.Exit(125)
}

// clocked does not return when all goes well.
func clocked(args []string) error {
	const numberAt, argumentAt = 0, 16 // in struct seccomp_data
	load, is, give := uint16(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS), uint16(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K), uint16(unix.BPF_RET|unix.BPF_K)
	filter := []unix.SockFilter{
		{Code: load, K: numberAt}, {Code: is, K: unix.SYS_CLOCK_GETTIME, Jf: 3},
		{Code: load, K: argumentAt}, {Code: is, K: unix.CLOCK_REALTIME, Jf: 1},
		{Code: give, K: unix.SECCOMP_RET_USER_NOTIF}, {Code: give, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(3)
	unix.CloseOnExec(int(listener))
	return unix.Exec(args[0], args, os.Environ())
}
