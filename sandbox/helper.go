package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// verb is the hidden first argument of the helper.
const verb = "__child"

// The descriptors that [Start] hands to the helper, beside the three that are
// the child's.
const (
	orderDescriptor  = 3
	reportDescriptor = 4
)

// exitUnable is the helper's status when it could not become the program. The
// gateway reads the report and not the status.
const exitUnable = 125

// Main returns at once unless args ask for the helper; then it does not
// return. Every binary that calls [Start] calls it first thing in main, with
// [os.Args].
func Main(args []string) {
	if len(args) < 2 || args[1] != verb {
		return
	}
	// no_new_privs belongs to a thread, and exec keeps the thread's.
	runtime.LockOSThread()
	failure := become()
	if _, err := os.NewFile(reportDescriptor, "report").WriteString(failure.Error()); err != nil {
		fmt.Fprintf(os.Stderr, "postern: %s is not a command: %v\n", verb, failure)
	}
	os.Exit(exitUnable)
}

// become turns this process into the ordered program. It returns only when it
// could not, and then nothing of the program has run.
func become() (failure error) {
	defer func() {
		if cause := recover(); cause != nil {
			failure = fmt.Errorf("panic: %v", cause)
		}
	}()
	input := os.NewFile(orderDescriptor, "order")
	if input == nil {
		return errors.New("there is no order")
	}
	o, err := readOrder(input)
	if err != nil {
		return err
	}
	if err := confine(o); err != nil {
		return err
	}
	err = unix.Exec(o.Program, o.Args, o.Env)
	return fmt.Errorf("start %s: %w", o.Program, err)
}

// confine prepares the process for the program, in this order. What it sets
// holds for the calling thread at least.
func confine(o Order) error {
	unix.Umask(o.Umask)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := unix.Chdir(o.Dir); err != nil {
		return fmt.Errorf("enter the working directory %s: %w", o.Dir, err)
	}
	return withholdDescriptors()
}

// withholdDescriptors makes every descriptor but the first three close when the
// program starts. The report stays usable until then.
func withholdDescriptors() error {
	if unix.CloseRange(orderDescriptor, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	return withholdListed()
}

// withholdListed is withholdDescriptors for Linux before 5.11, which cannot do
// it in one call.
func withholdListed() error {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list the open descriptors: %w", err)
	}
	for _, entry := range list {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= orderDescriptor {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
