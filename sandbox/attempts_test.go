package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The attacks that take more than a call. Each returns nil if it succeeds.

func opened(path string, flags int) error { return descriptor(unix.Open(path, flags, 0o600)) }

func descriptor(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func present(_ int, err error) error { return err }

// allowed makes a success of every failure but those of who is forbidden to do
// something: the kernel complains of what it was asked.
func allowed(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EACCES) {
		return err
	}
	return nil
}

// call makes a system call, with arguments that do no harm.
func call(number uintptr, a, b, c uintptr) error {
	_, _, errno := unix.Syscall6(number, a, b, c, 0, 0, 0)
	return allowed(errno)
}

// many opens n files.
func many(n int) error {
	var open []int
	defer func() {
		for _, fd := range open {
			unix.Close(fd)
		}
	}()
	for range n {
		fd, err := unix.Open("/", unix.O_PATH, 0)
		if err != nil {
			return err
		}
		open = append(open, fd)
	}
	return nil
}

// taken takes more address space than the limit.
func taken() error {
	const piece = 64 << 20
	for range enough / piece {
		memory, err := unix.Mmap(-1, 0, piece, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			return err
		}
		defer unix.Munmap(memory)
	}
	return nil
}

// runs starts a program and wants it to end well. It needs no /dev/null, as
// os/exec does.
func runs(attr *syscall.SysProcAttr, program string, args ...string) error {
	pid, err := forked(attr, program, args...)
	if err != nil {
		return err
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("ended with %#x", status)
	}
	return nil
}

func forked(attr *syscall.SysProcAttr, program string, args ...string) (int, error) {
	return syscall.ForkExec(program, append([]string{program}, args...), &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: attr})
}

// reopened opens a file by a descriptor that gives no right to it.
func reopened(path string) error {
	fd, err := unix.Open(path, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return opened("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY)
}

func byHandle(path string) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return err
	}
	folder, err := unix.Open(filepath.Dir(path), unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(folder)
	return descriptor(unix.OpenByHandleAt(folder, handle, unix.O_RDONLY))
}

// entered goes to a folder, and back.
func entered(path string) error { return errors.Join(unix.Chdir(path), unix.Chdir("/")) }

func watched(w world) error {
	fd, err := unix.InotifyInit1(0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return present(unix.InotifyAddWatch(fd, w.outside, unix.IN_ALL_EVENTS))
}

// replaceRule moves the rule's path away, and back.
func replaceRule(w world) error {
	return errors.Join(unix.Rename(w.rule, w.rule+".moved"), os.Rename(w.rule+".moved", w.rule))
}

func sharedFile(w world) error {
	path := "/dev/shm/" + filepath.Base(filepath.Dir(w.rule)) + strconv.Itoa(os.Getpid())
	defer os.Remove(path)
	return opened(path, unix.O_CREAT|unix.O_WRONLY)
}

// flagged says that a file is not to be dumped.
func flagged(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const notDumped = 0x40 // FS_NODUMP_FL
	flags, _ := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags|notDumped); errors.Is(err, unix.EROFS) {
		return err
	} else {
		return allowed(err)
	}
}

// mapped makes code of a file, as a loader does of a library.
func mapped(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return mappedAs(fd, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
}

func mappedMemory() error {
	return mappedAs(-1, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}

func mappedAs(fd, protection, flags int) error {
	memory, err := unix.Mmap(fd, 0, 4096, protection, flags)
	if err != nil {
		return err
	}
	return unix.Munmap(memory)
}

// takeCapabilities adds one to those that the process has.
func takeCapabilities(world) error {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Permitted |= 1 << unix.CAP_SYS_ADMIN
	return unix.Capset(&header, &data[0])
}

// lives succeeds if the kernel tells that somebody has a number.
func lives(pid int) error {
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

// joined enters a namespace.
func joined(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, 0)
}

func signalHandle(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, unix.SIGWINCH, nil, 0)
}

func queueSignal(pid int) error {
	info := unix.Siginfo{Signo: int32(unix.SIGWINCH), Code: -1}
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(unix.SIGWINCH), uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return errno
	}
	return nil
}

// kernelSignal asks to be told of news on a stream, in the place of somebody
// else.
func kernelSignal(pid int) error { return present(unix.FcntlInt(0, unix.F_SETOWN, pid)) }

// limitOther sets a limit of a process to what the attacker has.
func limitOther(pid int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &limit); err != nil {
		return err
	}
	return unix.Prlimit(pid, unix.RLIMIT_STACK, &limit, nil)
}

// traced traces a process for a moment.
func traced(w world, pid int) error {
	return runs(nil, w.program, attackVerb, traceWord, strconv.Itoa(pid))
}

func socketed(family, kind int) error { return allowed(descriptor(unix.Socket(family, kind, 0))) }

func paired(kind int) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	if err == nil {
		err = errors.Join(unix.Close(pair[0]), unix.Close(pair[1]))
	}
	return err
}

// sent has one of a pair of sockets send to somebody else than the other.
func sent(name string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	err = unix.Sendto(pair[0], []byte("x"), 0, &unix.SockaddrUnix{Name: name})
	return errors.Join(err, unix.Close(pair[0]), unix.Close(pair[1]))
}

// accessList is one of POSIX (linux/posix_acl_xattr.h) that lets everyone read
// and write.
func accessList() []byte {
	list := []byte{2, 0, 0, 0}
	for _, tag := range []byte{0x01, 0x04, 0x20} {
		list = append(list, tag, 0, 6, 0, 0xff, 0xff, 0xff, 0xff)
	}
	return list
}

// What an attacker tries in a process of its own, because it would be another
// process afterwards, or none.
const (
	x32Word        = "x32"
	leaveWord      = "leave"
	ownerWord      = "owner"
	leakWord       = "leak"
	threadsWord    = "threads"
	traceWord      = "trace"
	descriptorWord = "descriptor"
	// waitWord and memoryWord attack nobody: the one waits until its input
	// ends, the other takes memory.
	waitWord   = "wait"
	memoryWord = "memory"
)

// tryAlone reports whether the attack with a name succeeds.
func tryAlone(word string, args []string) bool {
	switch word {
	case x32Word:
		unix.RawSyscall(unix.SYS_GETPID|0x40000000, 0, 0, 0)
		return true
	case leaveWord:
		return present(unix.Setsid()) == nil
	case ownerWord:
		return os.Geteuid() == setuidOwner
	case leakWord:
		return leaks()
	case threadsWord:
		startThreads(2 * limited)
		return true
	case traceWord:
		pid, err := strconv.Atoi(args[0])
		runtime.LockOSThread()
		return err == nil && unix.PtraceSeize(pid) == nil
	case descriptorWord:
		becomeOpened(args[0])
	case waitWord:
		fmt.Fprint(os.Stdout, "w")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err == nil
	case memoryWord:
		fmt.Fprint(os.Stdout, exhaust())
		return true
	}
	return false
}

// exhaust uses two GiB and says whether it could.
func exhaust() string {
	const piece = 128 << 20
	for range 2 << 30 / piece {
		memory, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return "refused"
		}
		for i := 0; i < len(memory); i += os.Getpagesize() {
			memory[i] = 1
		}
	}
	return "taken"
}

// leaks reports whether anything but the streams is open.
func leaks() bool {
	for fd := 3; fd < 100; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		// The order and the reports have but one direction, unlike the child's own log.
		own := fd == 3 && flags&unix.O_ACCMODE == unix.O_RDWR
		if err == nil && !own {
			return true
		}
	}
	return false
}

// startThreads has so many threads at once. Go ends the process when it can have
// no more.
func startThreads(n int) {
	started, done := make(chan struct{}), make(chan struct{})
	for range n {
		go func() {
			runtime.LockOSThread()
			started <- struct{}{}
			<-done
		}()
		<-started
	}
}

// becomeOpened runs a file by its descriptor.
func becomeOpened(path string) {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return
	}
	empty := []byte{0}
	args := []*byte{unsafe.StringData("x\x00"), unsafe.StringData(attackVerb + "\x00"), nil}
	env := []*byte{nil}
	_, _, _ = unix.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
}
