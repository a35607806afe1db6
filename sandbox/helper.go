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
// the child's. The folders of the order's paths follow.
const (
	orderDescriptor = 3 + iota
	reportDescriptor
	statusDescriptor
	firstFolder
)

// exitUnable is the helper's status when it could not become the program. The
// gateway reads the report and not the status.
const exitUnable = 125

// What the helper reports begins with one of these words. A helper that ends
// without a word has failed.
const (
	// reportReady comes right before the program, and is alone if that starts.
	reportReady = 'r'
	// reportLog comes with the log, before anything else.
	reportLog = 'l'
	// reportUnable precedes the reason why the host does not give the
	// planned confinement.
	reportUnable = 'u'
	// reportFailed precedes every other reason.
	reportFailed = 'f'
)

// errUnable marks a failure that another plan may not have.
var errUnable = errors.New("this host does not confine so")

// Main returns at once unless args ask for the helper; then it does not
// return. Every binary that calls [Start] calls it first thing in main, with
// [os.Args].
func Main(args []string) {
	if len(args) < 2 || args[1] != verb {
		return
	}
	// no_new_privs and Landlock belong to a thread, and exec keeps the thread's.
	runtime.LockOSThread()
	report := os.NewFile(reportDescriptor, "report")
	failure := become(report)
	if failure == nil {
		end(0)
	}
	word := reportFailed
	if errors.Is(failure, errUnable) {
		word = reportUnable
	}
	if _, err := report.WriteString(string(word) + failure.Error()); err != nil {
		fmt.Fprintf(os.Stderr, "postern: %s is not a command: %v\n", verb, failure)
	}
	end(exitUnable)
}

// end ends the helper at once. os.Exit would first do what matters to a program
// that is being measured or tested, and takes a second for it under the race
// detector.
func end(status int) { unix.Exit(status) }

// become confines this process and turns it into the ordered program, or runs
// that to its end where it needs a first process above it. An error means that
// nothing of the program has run.
func become(report *os.File) (failure error) {
	defer func() {
		if cause := recover(); cause != nil {
			failure = fmt.Errorf("panic: %v", cause)
		}
	}()
	input := os.NewFile(orderDescriptor, "order")
	if input == nil {
		return errors.New("there is no order")
	}
	o, p, err := readOrder(input, firstFolder)
	// Its number may become another's.
	if err := errors.Join(err, input.Close()); err != nil {
		return err
	}
	if err := confine(o, p, report); err != nil {
		return err
	}
	if p.Rehearse {
		return ready(report)
	}
	if p.ownPIDs(o) {
		return runBelow(o, report)
	}
	return execute(o, report)
}

// ready tells the gateway that everything is prepared.
func ready(report *os.File) error {
	_, err := report.Write([]byte{reportReady})
	return err
}

// execute becomes the program.
func execute(o Order, report *os.File) error {
	if err := ready(report); err != nil {
		return err
	}
	if err := limitProgram(0, o.Limits); err != nil {
		return err
	}
	err := unix.Exec(o.Program, o.Args, o.Env)
	return fmt.Errorf("start %s: %w", o.Program, err)
}

// confine prepares the process for the program, in this order. What it sets
// holds for the calling thread at least.
//
// The program is opened first. With namespaces its path then leads to a mount of
// that very file, and with Landlock that file is the only one that may be run: a
// path that is swapped later starts nothing else.
func confine(o Order, p plan, report *os.File) error {
	program, err := unix.Open(o.Program, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", o.Program, err)
	}
	v := &view{}
	if p.Level != None {
		if v, err = needs(o); err != nil {
			return fmt.Errorf("find what %s needs: %w", o.Program, err)
		}
	}
	seen, err := lookOutside(o, v)
	if err != nil {
		return err
	}
	if p.Level.namespaces() {
		if err := enterRoot(o, v); errors.Is(err, errSwapped) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: %w", errUnable, err)
		}
	}
	log, err := giveLog(o, p, report)
	if err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	for _, path := range o.Paths {
		if err := same(path.Path, int(path.Folder.Fd())); err != nil {
			return fmt.Errorf("path %s: %w", path.Path, err)
		}
	}
	if err := same(o.Program, program); err != nil {
		return fmt.Errorf("program %s: %w", o.Program, err)
	}
	grants, err := grantsFor(o, v, p)
	if err != nil {
		return err
	}
	if err := restrain(o, p, grants); err != nil {
		return err
	}
	if err := seen.prove(o, p); err != nil {
		return err
	}
	if err := withholdDescriptors(); err != nil || log < 0 {
		return err
	}
	// The child's only descriptor beside its streams.
	return unix.Dup3(log, logDescriptor, 0)
}

// restrain gives up everything that no mount is needed for.
func restrain(o Order, p plan, grants []grant) error {
	if err := surrender(o.User); err != nil {
		return err
	}
	for _, path := range o.Paths {
		if err := mayReach(path.Path); err != nil {
			return err
		}
	}
	if err := unix.Chdir(o.Dir); err != nil {
		return fmt.Errorf("enter the working directory %s: %w", o.Dir, err)
	}
	if err := limitSelf(o.Limits); err != nil {
		return err
	}
	unix.Umask(o.Umask)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if p.Level.landlock() {
		if err := restrict(p.ABI, grants); err != nil {
			return err
		}
	}
	if p.Level == None && !canFilter() {
		return nil
	}
	return calls(heldBy(o, p)).install()
}

// grantsFor opens what Landlock is to allow. The order's folders are those that
// came with it.
func grantsFor(o Order, v *view, p plan) ([]grant, error) {
	if !p.Level.landlock() {
		return nil, nil
	}
	var grants []grant
	add := func(path string, rights uint64) error {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		grants = append(grants, grant{fd, rights})
		return nil
	}
	for _, path := range v.execute {
		if err := add(path, fsRead|fsExecute); err != nil {
			return nil, err
		}
	}
	for _, path := range v.read {
		if err := add(path, fsRead|fsList); err != nil {
			return nil, err
		}
	}
	if o.Scratch != "" {
		rights := uint64(fsRead | fsList | fsWrite)
		if o.Unpacks {
			rights |= fsExecute
		}
		if err := add(o.Scratch, rights); err != nil {
			return nil, err
		}
	}
	if o.Log != "" {
		if err := add(o.Log, unix.LANDLOCK_ACCESS_FS_WRITE_FILE); err != nil {
			return nil, err
		}
	}
	for _, path := range o.Paths {
		grants = append(grants, grant{int(path.Folder.Fd()), path.rights()})
	}
	return grants, nil
}

// rights are the smallest with which a path's mode works.
func (p Path) rights() uint64 {
	rights := uint64(fsRead | fsList)
	if p.Writable {
		rights |= fsWrite
	}
	return rights
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
