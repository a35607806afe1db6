package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

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
}

// world is what one attack finds. Each has its own files, so that none changes
// what the next finds.
type world struct {
	// outside and inside are a folder each, with a file and an empty folder.
	outside, inside string
	// through is a path to outside by way of a link that lies inside.
	through string
	// other is a process of the same user that is no child of the attacker.
	other int
	// program is the attacker.
	program string
}

func (w world) file() string   { return filepath.Join(w.outside, "file") }
func (w world) folder() string { return filepath.Join(w.outside, "folder") }
func (w world) mine() string   { return filepath.Join(w.inside, "file") }

// Shorthands of the table.
var (
	never   []sandbox.Level
	always  = []sandbox.Level{none, namespaces, landlock, full}
	visible = []sandbox.Level{none, landlock}
	unheld  = []sandbox.Level{none}
	// confinedPIDs are the levels with a process namespace, which ends with
	// the child and takes everyone along.
	confinedPIDs = []sandbox.Level{namespaces, full}
)

// signals are the attacks that an older Landlock lets through.
var signals = []string{"signal a process", "signal a process by its handle", "queue a signal for a process"}

// attacks is the table of what each level stops, and of what it does not.
var attacks = []attack{
	// Reading outside.
	{"list a folder", func(w world) error { return opened(w.outside, unix.O_RDONLY|unix.O_DIRECTORY) }, unheld, unheld},
	{"read a file", func(w world) error { return opened(w.file(), unix.O_RDONLY) }, unheld, unheld},
	{"read a file through a planted link", func(w world) error { return opened(filepath.Join(w.through, "file"), unix.O_RDONLY) }, unheld, unheld},
	{"look a file up", func(w world) error { return unix.Stat(w.file(), new(unix.Stat_t)) }, visible, visible},
	{"read a file's attributes", func(w world) error { return present(unix.Getxattr(w.file(), "user.mark", make([]byte, 64))) }, visible, visible},
	{"read a system file that no program needs", func(world) error { return opened("/etc/shells", unix.O_RDONLY) }, unheld, unheld},

	// Writing outside.
	{"create a file", func(w world) error { return opened(filepath.Join(w.outside, "new"), unix.O_CREAT|unix.O_WRONLY) }, unheld, unheld},
	{"write a file", func(w world) error { return opened(w.file(), unix.O_WRONLY) }, unheld, unheld},
	{"write a file through a planted link", func(w world) error { return opened(filepath.Join(w.through, "file"), unix.O_WRONLY) }, unheld, unheld},
	{"cut a file short by its path", func(w world) error { return unix.Truncate(w.file(), 0) }, unheld, unheld},
	{"cut a file short while opening it", func(w world) error { return opened(w.file(), unix.O_RDONLY|unix.O_TRUNC) }, unheld, unheld},
	{"rename a file", func(w world) error { return unix.Rename(w.file(), w.file()+".new") }, unheld, unheld},
	{"move a file in", func(w world) error { return unix.Rename(w.file(), filepath.Join(w.inside, "in")) }, unheld, unheld},
	{"move a file out", func(w world) error { return unix.Rename(w.mine(), filepath.Join(w.outside, "out")) }, unheld, unheld},
	{"link a file into the rule's path", func(w world) error { return unix.Link(w.file(), filepath.Join(w.inside, "link")) }, unheld, unheld},
	{"link a file out of the rule's path", func(w world) error { return unix.Link(w.mine(), filepath.Join(w.outside, "link")) }, unheld, unheld},
	{"make a symbolic link", func(w world) error { return unix.Symlink("x", filepath.Join(w.outside, "symlink")) }, unheld, unheld},
	{"make a folder", func(w world) error { return unix.Mkdir(filepath.Join(w.outside, "made"), 0o700) }, unheld, unheld},
	{"remove a folder", func(w world) error { return unix.Rmdir(w.folder()) }, unheld, unheld},
	{"delete a file", func(w world) error { return unix.Unlink(w.file()) }, unheld, unheld},

	// What Landlock does not see, and the filter forbids only to readers.
	{"change a file's mode", func(w world) error { return unix.Chmod(w.file(), 0o666) }, visible, unheld},
	{"change a file's owner", func(w world) error { return unix.Chown(w.file(), os.Getuid(), os.Getgid()) }, visible, unheld},
	{"change a file's time", func(w world) error { return unix.Utimes(w.file(), make([]unix.Timeval, 2)) }, visible, unheld},
	{"set an attribute of a file", func(w world) error { return unix.Setxattr(w.file(), "user.x", []byte("x"), 0) }, visible, unheld},
	{"remove an attribute of a file", func(w world) error { return unix.Removexattr(w.file(), "user.mark") }, visible, unheld},
	{"set an access list of a file", func(w world) error { return unix.Setxattr(w.file(), "system.posix_acl_access", accessList(), 0) }, visible, unheld},

	// In the rule's path.
	{"read in the rule's path", func(w world) error { return opened(w.mine(), unix.O_RDONLY) }, always, always},
	{"write in the rule's path", func(w world) error { return opened(w.mine(), unix.O_WRONLY) }, always, unheld},
	{"create in the rule's path", func(w world) error { return opened(filepath.Join(w.inside, "new"), unix.O_CREAT|unix.O_WRONLY) }, always, unheld},
	{"cut short in the rule's path", func(w world) error { return opened(w.mine(), unix.O_RDONLY|unix.O_TRUNC) }, always, unheld},
	{"delete in the rule's path", func(w world) error { return unix.Unlink(w.mine()) }, always, unheld},
	{"change a mode in the rule's path", func(w world) error { return unix.Chmod(w.mine(), 0o600) }, always, unheld},
	{"run a program from the rule's path", func(w world) error { return runs(nil, filepath.Join(w.inside, "..", "program"), attackVerb) }, unheld, unheld},
	{"make a device in the rule's path", func(w world) error { return unix.Mknod(filepath.Join(w.inside, "null"), unix.S_IFCHR|0o666, 1<<8|3) }, never, never},

	// Programs.
	{"run its own program again", func(w world) error { return runs(nil, w.program, attackVerb) }, always, always},
	{"run another program", func(world) error { return runs(nil, "/bin/sh", "-c", ":") }, unheld, unheld},
	{"run a program from memory", func(world) error { return descriptor(unix.MemfdCreate("x", 0)) }, never, never},

	// Other processes.
	{"see a process", func(w world) error { return unix.Stat(filepath.Join("/proc", strconv.Itoa(w.other)), new(unix.Stat_t)) }, visible, visible},
	{"read a process's environment", func(w world) error {
		return opened(filepath.Join("/proc", strconv.Itoa(w.other), "environ"), unix.O_RDONLY)
	}, unheld, unheld},
	{"ask whether a process lives", func(w world) error { return lives(w.other) }, visible, visible},
	{"signal a process", func(w world) error { return unix.Kill(w.other, unix.SIGCONT) }, unheld, unheld},
	{"signal a process by its handle", func(w world) error { return signalHandle(w.other) }, unheld, unheld},
	{"queue a signal for a process", func(w world) error { return queueSignal(w.other) }, unheld, unheld},
	{"have the kernel signal a process", func(w world) error { return present(unix.FcntlInt(0, unix.F_SETOWN, w.other)) }, never, never},
	{"limit a process", func(w world) error { return limitOther(w.other) }, never, never},
	{"slow a process down", func(w world) error { return unix.Setpriority(unix.PRIO_PROCESS, w.other, 19) }, never, never},
	{"pin a process", func(w world) error { return unix.SchedSetaffinity(w.other, &unix.CPUSet{1}) }, never, never},
	{"leave the group", func(w world) error { return runs(nil, w.program, attackVerb, "leave") }, confinedPIDs, confinedPIDs},
	{"give the gateway a child", func(w world) error {
		return runs(&syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT}, w.program, attackVerb)
	}, never, never},
	{"trace a process", func(w world) error { return unix.PtraceSeize(w.other) }, never, never},
	{"read a process's memory", func(w world) error { return call(unix.SYS_PROCESS_VM_READV, uintptr(w.other), 0, 0) }, never, never},

	// Networks and what else is shared.
	{"open a TCP socket", func(world) error { return descriptor(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) }, never, never},
	{"open a UDP socket", func(world) error { return descriptor(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)) }, never, never},
	{"open a local socket", func(world) error { return descriptor(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) }, never, never},
	{"open a packet socket pair", func(world) error { _, err := unix.Socketpair(unix.AF_TIPC, unix.SOCK_STREAM, 0); return err }, never, never},
	{"open a local socket pair", func(world) error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }, always, always},
	{"share memory", func(world) error { return call(unix.SYS_SHMGET, 0, 4096, 0o600) }, never, never},
	{"reach a keyring", func(world) error { return call(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0) }, never, never},

	// The kernel.
	{"mount", func(world) error { return unix.Mount("none", "/", "tmpfs", 0, "") }, never, never},
	{"change the root", func(world) error { return unix.Chroot("/") }, never, never},
	{"make a user namespace", func(world) error { return unix.Unshare(unix.CLONE_NEWUSER) }, never, never},
	{"clone into a user namespace", func(w world) error {
		return runs(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, w.program, attackVerb)
	}, never, never},
	{"use io_uring", func(world) error { return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(new([128]byte))), 0) }, never, never},
	{"load a program into the kernel", func(world) error { return call(unix.SYS_BPF, 0, 0, 0) }, never, never},
	{"load a module", func(world) error { return call(unix.SYS_FINIT_MODULE, ^uintptr(0), 0, 0) }, never, never},
	{"make a file's handle", func(w world) error { _, _, err := unix.NameToHandleAt(unix.AT_FDCWD, w.inside, 0); return err }, never, never},
	{"call by the numbers of x32", func(w world) error { return runs(nil, w.program, attackVerb, "x32") }, never, never},

	// Limits.
	{"open two thousand files", func(w world) error {
		return many(2000, func() error { _, err := unix.Open("/", unix.O_PATH, 0); return err })
	}, never, never},
	{"leave a core file", func(world) error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}) }, never, never},
	{"become another user", func(world) error { return syscall.Setuid(1) }, never, never},
}

const (
	attackVerb  = "attack"
	gatewayVerb = "gateway"
	// containerVerb is a gateway in a container that forbids namespaces.
	containerVerb = "container"
	// unpackVerb is a program that unpacks itself.
	unpackVerb = "unpack"
)

// play takes the parts of other programs: of the attacker, and of a gateway that
// is another user than the tests.
func play(args []string) {
	switch {
	case len(args) == 2 && args[1] == attackVerb:
		os.Exit(0)
	case len(args) == 3 && args[1] == attackVerb && args[2] == "x32":
		unix.RawSyscall(unix.SYS_GETPID|0x40000000, 0, 0, 0)
		os.Exit(0)
	case len(args) == 3 && args[1] == attackVerb && args[2] == "leave":
		if _, err := unix.Setsid(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case len(args) == 3 && args[1] == unpackVerb:
		unpack(args[0], filepath.Join(args[2], "x"))
		os.Exit(0)
	case len(args) == 4 && args[1] == attackVerb:
		attackAll(args[2], args[3])
		os.Exit(0)
	case len(args) > 4 && args[1] == remoteVerb:
		// After the name of the host.
		os.Exit(remote(args[2], args[4:]))
	case len(args) == 3 && args[1] == gatewayVerb:
		os.Exit(beGateway(args[2], sandbox.Start))
	case len(args) == 4 && args[1] == gatewayVerb:
		os.Exit(beGateway(args[2], func(self string, o sandbox.Order) (*sandbox.Process, error) {
			abi, _ := strconv.Atoi(args[3])
			return sandbox.StartWithABI(self, o, abi)
		}))
	case len(args) == 3 && args[1] == containerVerb:
		if err := sandbox.LikeAContainer(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(beGateway(args[2], sandbox.Start))
	}
}

// attackAll tries everything and prints what succeeded.
func attackAll(base, other string) {
	pid, _ := strconv.Atoi(other)
	var successes []string
	for i, a := range attacks {
		n := strconv.Itoa(i)
		w := world{
			outside: filepath.Join(base, "outside", n), inside: filepath.Join(base, "rule", n),
			through: filepath.Join(base, "rule", "link", n), other: pid, program: filepath.Join(base, "program"),
		}
		if a.try(w) == nil {
			successes = append(successes, a.name)
		}
	}
	json.NewEncoder(os.Stdout).Encode(successes)
}

// enough memory for the attacker, and not for the attack.
const enough = 8 << 30

// unpack copies the program and says so if the copy runs.
func unpack(from, to string) {
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o700)
	}
	if err == nil {
		err = runs(nil, to, attackVerb)
	}
	if err == nil {
		fmt.Fprint(os.Stdout, "ran")
	}
}

// beGateway starts the order in the argument, and passes its output on.
func beGateway(text string, start func(string, sandbox.Order) (*sandbox.Process, error)) int {
	if text == "probe" {
		fmt.Fprint(os.Stdout, sandbox.Probe(self).Level)
		return 0
	}
	var o sandbox.Order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := start(self, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(p.Stdin, os.Stdin)
		p.Stdin.Close()
	}()
	go io.Copy(os.Stderr, p.Stderr)
	io.Copy(os.Stdout, p.Stdout)
	return p.Wait().Status
}

func opened(path string, flags int) error { return descriptor(unix.Open(path, flags, 0o600)) }

func descriptor(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// lives succeeds if the kernel tells that somebody has a number.
func lives(pid int) error {
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

func signalHandle(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
}

func queueSignal(pid int) error {
	info := unix.Siginfo{Signo: int32(unix.SIGCONT), Code: -1}
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(unix.SIGCONT), uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return errno
	}
	return nil
}

// limitOther sets a limit of a process to what it is.
func limitOther(pid int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return err
	}
	return unix.Prlimit(pid, unix.RLIMIT_CORE, &limit, nil)
}

func present(_ int, err error) error { return err }

// call makes a system call. A complaint about its arguments is a success: who is
// forbidden to call gets another answer.
func call(number uintptr, a, b, c uintptr) error {
	_, _, errno := unix.Syscall6(number, a, b, c, 0, 0, 0)
	if errno == unix.EPERM || errno == unix.ENOSYS || errno == unix.EACCES {
		return errno
	}
	return nil
}

func many(n int, try func() error) error {
	for range n {
		if err := try(); err != nil {
			return err
		}
	}
	return nil
}

// runs starts a program and wants it to end well. It needs no /dev/null, as
// os/exec does.
func runs(attr *syscall.SysProcAttr, program string, args ...string) error {
	pid, err := syscall.ForkExec(program, append([]string{program}, args...), &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: attr})
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

// accessList is one of POSIX (linux/posix_acl_xattr.h) that lets everyone read
// and write.
func accessList() []byte {
	list := []byte{2, 0, 0, 0}
	for _, tag := range []byte{0x01, 0x04, 0x20} {
		list = append(list, tag, 0, 6, 0, 0xff, 0xff, 0xff, 0xff)
	}
	return list
}

// starter is a gateway's user and the child's.
type starter struct {
	name           string
	gateway, child sandbox.User
}

// starters are those that the tests can be.
func starters() []starter {
	if os.Getuid() != 0 {
		return []starter{{"user", *me(), *me()}}
	}
	return []starter{
		{"root starts a user", sandbox.User{}, nobody},
		{"user", nobody, nobody},
		{"root starts root", sandbox.User{}, sandbox.User{}},
	}
}

// run starts a program as a user, which in the tests of root needs no more than
// that.
func (s starter) run(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "TMPDIR=/tmp"}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.gateway.UID, Gid: s.gateway.GID}}
	}
	return cmd
}

// order is a gateway's, for a child of this starter. The level must be one that
// the starter's gateway can give, or the test is skipped.
func (s starter) order(t testing.TB, base string, l sandbox.Level) sandbox.Order {
	t.Helper()
	out, err := s.run(t, filepath.Join(base, "program"), gatewayVerb, "probe").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sandbox.ParseLevel(string(out)); err != nil || !got.Includes(l) {
		t.Skipf("this host gives %s to %s, and the test needs %s (%v)", out, s.name, l, err)
	}
	child := s.child
	return sandbox.Order{Dir: "/", Umask: 0o077, User: &child, Least: l, Most: l, Limits: sandbox.Limits{Memory: enough}}
}

// publicDir is a folder that every user may enter.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postern-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyFile copies an executable file. No other test forks meanwhile: its child
// would have the copy open for writing, and the copy could not be run.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// battlefield makes what the attacks find, all of it the user's.
func battlefield(t *testing.T, owner sandbox.User) string {
	t.Helper()
	base := publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	var errs []error
	for i := range attacks {
		for _, side := range []string{"outside", "rule"} {
			dir := filepath.Join(base, side, strconv.Itoa(i))
			file := filepath.Join(dir, "file")
			errs = append(errs, os.MkdirAll(filepath.Join(dir, "folder"), 0o755), os.WriteFile(file, []byte("secret"), 0o600),
				unix.Setxattr(file, "user.mark", []byte("mark"), 0))
		}
	}
	copyFile(t, self, filepath.Join(base, "rule", "program"))
	errs = append(errs, os.Symlink("../outside", filepath.Join(base, "rule", "link")))
	errs = append(errs, filepath.WalkDir(base, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(owner.UID), int(owner.GID)))
	}))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return base
}

func TestWhatEachLevelStops(t *testing.T) {
	for _, s := range starters() {
		for _, l := range levels {
			for _, writable := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/writable=%v", s.name, l, writable), func(t *testing.T) {
					t.Parallel()
					testAttacks(t, s, l, writable)
				})
			}
		}
	}
}

func testAttacks(t *testing.T, s starter, l sandbox.Level, writable bool) {
	base := battlefield(t, s.child)
	compare(t, s.attack(t, base, s.order(t, base, l), writable), l, writable)
}

// attack has a child of the order try everything, and returns what succeeded.
func (s starter) attack(t *testing.T, base string, o sandbox.Order, writable bool) []string {
	t.Helper()
	o.Program = filepath.Join(base, "program")
	o.Args = []string{o.Program, attackVerb, base, strconv.Itoa(startBystander(t, s, base))}
	o.Paths = []sandbox.Path{{Path: filepath.Join(base, "rule"), Writable: writable}}
	var got []string
	out := s.gatewayRuns(t, base, o, nil)
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	if s.child.UID == 0 && o.Least == none {
		// A child that an order calls root has but a few of root's
		// capabilities: it may not look into others.
		got = append(got, "read a process's environment")
	}
	return got
}

// gatewayRuns starts an order as the starter's gateway would, and returns what
// the child wrote.
func (s starter) gatewayRuns(t testing.TB, base string, o sandbox.Order, input io.Reader) []byte {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := s.run(t, filepath.Join(base, "program"), gatewayVerb, string(text))
	cmd.Stdin = input
	complaint := new(strings.Builder)
	cmd.Stderr = complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint)
	}
	return out
}

// startBystander runs a process as the child's user until the test ends.
func startBystander(t *testing.T, s starter, base string) int {
	t.Helper()
	s.gateway = s.child
	cmd := s.run(t, "/bin/sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}
