package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxReport bounds the reason that a helper gives.
	maxReport = 4 << 10
	// startLimit is how long a helper may take to become the program. It
	// needs milliseconds; a working directory on a share that hangs would
	// take for ever.
	startLimit = 30 * time.Second
	// pipeSize is asked for, not required. The kernel's own 64 KiB make a
	// bulk transfer switch between the gateway and the child 16 times as
	// often.
	pipeSize = 1 << 20
)

// ErrConfinement is why a child was not started when this host does not give
// the least confinement that its order names.
var ErrConfinement = errors.New("this host does not give the least confinement that was asked for")

// Start starts the ordered program in a process group of its own, confined as
// the order says, and returns once it runs. When it returns an error nothing of
// the program has run. self is the binary whose main calls [Main]:
// /proc/self/exe.
//
// The caller owns the process: it must call [Process.Wait], where the three
// streams are closed.
func Start(self string, o Order) (*Process, error) {
	if err := errors.Join(o.check(), o.checkUser()); err != nil {
		return nil, fmt.Errorf("refuse to start a child: %w", err)
	}
	o, closeOpened, err := o.openPaths()
	if err != nil {
		return nil, fmt.Errorf("refuse to start a child: %w", err)
	}
	defer closeOpened()
	p, err := startConfined(self, o, false)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Program, err)
	}
	return p, nil
}

// openPaths opens the folders that came without a descriptor.
func (o Order) openPaths() (opened Order, closeAll func(), err error) {
	l := &launch{}
	o.Paths = slices.Clone(o.Paths)
	for i, p := range o.Paths {
		if p.Folder != nil {
			continue
		}
		f, err := OpenPath(p.Path)
		if err != nil {
			l.closeAll()
			return o, nil, err
		}
		l.open = append(l.open, f)
		o.Paths[i].Folder = f
	}
	return o, l.closeAll, nil
}

// startConfined tries the plans that give the least level, the strongest first.
func startConfined(self string, o Order, rehearse bool) (*Process, error) {
	host := lookAtHost()
	var missing []error
	for _, plan := range host.plans(o.least(), o.most()) {
		plan.Rehearse = rehearse
		l := &launch{}
		p, err := l.start(self, o, plan)
		l.closeAll()
		if !errors.Is(err, errUnable) {
			return p, err
		}
		missing = append(missing, err)
	}
	return nil, fmt.Errorf("%w: %s; %w", ErrConfinement, o.least(), errors.Join(append(missing, host.lacks()...)...))
}

// launch holds the descriptors of one start, so that none outlives a failure.
type launch struct{ open []*os.File }

// pipe returns both ends of a new pipe.
func (l *launch) pipe() (r, w *os.File, err error) {
	r, w, err = os.Pipe()
	if err == nil {
		l.open = append(l.open, r, w)
	}
	return r, w, err
}

// keep takes files out of those that closeAll closes.
func (l *launch) keep(files ...*os.File) {
	for _, kept := range files {
		for i, f := range l.open {
			if f == kept {
				l.open[i] = nil
			}
		}
	}
}

func (l *launch) closeAll() {
	for _, f := range l.open {
		if f != nil {
			f.Close()
		}
	}
}

// start runs the helper and waits for it to become the program.
func (l *launch) start(self string, o Order, plan plan) (*Process, error) {
	// A main that does not call Main would start itself without end.
	if len(os.Args) > 1 && os.Args[1] == verb {
		return nil, errors.New("this process is a helper, and starts none: main must call sandbox.Main first thing")
	}
	inR, inW, err1 := l.pipe()
	outR, outW, err2 := l.pipe()
	errR, errW, err3 := l.pipe()
	orderR, orderW, err4 := l.pipe()
	statusR, statusW, err5 := l.pipe()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	reports, reporter, err := l.reports()
	if err != nil {
		return nil, err
	}
	defer reports.Close()
	widen(inW)
	widen(outR)

	files := []*os.File{inR, outW, errW, orderR, reporter, statusW}
	for _, p := range o.Paths {
		files = append(files, p.Folder)
	}
	child, err := os.StartProcess(self, []string{self, verb}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: files, Sys: plan.attributes(o),
	})
	if err != nil && plan.Level.namespaces() {
		return nil, fmt.Errorf("%w: %w", errUnable, err)
	}
	if err != nil {
		return nil, err
	}
	// The helper's ends must be the last ones, or its exec and its end would
	// not be seen.
	reporter.Close()
	statusW.Close()
	orderR.Close()
	p := &Process{Stdin: inW, Stdout: outR, Stderr: errR, child: child, done: make(chan struct{}), status: statusR, level: plan.Level}
	l.keep(inW, outR, errR, statusR)
	sent, err := handOver(o, plan, orderW, reports)
	p.takeLog(sent)
	go p.watch()
	if err != nil {
		p.Kill()
		p.Wait()
		p.Log.Close()
		return nil, err
	}
	return p, nil
}

// handOver sends the order and returns once the helper has become the program,
// or why it has not; and the files that the helper sent, either way.
func handOver(o Order, plan plan, order *os.File, reports *net.UnixConn) ([]*os.File, error) {
	deadline := time.Now().Add(startLimit)
	if err := order.SetDeadline(deadline); err != nil {
		return nil, err
	}
	sent := errors.Join(o.write(order, plan), order.Close())
	words, files, err := readReport(reports, deadline)
	if err != nil {
		return files, fmt.Errorf("wait for the helper: %w", err)
	}
	words, logged := bytes.CutPrefix(words, []byte{reportLog})
	words, prepared := bytes.CutPrefix(words, []byte{reportReady})
	switch {
	case logged && len(files) != logEnds:
		return files, errNoLog
	case len(words) == 0 && prepared:
		return files, sent
	case len(words) == 0:
		return files, errors.Join(errors.New("the helper ended without a word"), sent)
	case words[0] == reportUnable:
		return files, unable(words[1:])
	case words[0] == reportFailed:
		return files, errors.New(string(words[1:]))
	}
	return files, fmt.Errorf("the helper says %.100q, which means nothing", words)
}

// unable is a helper's reason that another plan may not have.
func unable(reason []byte) error {
	return fmt.Errorf("%w: %s", errUnable, strings.TrimPrefix(string(reason), errUnable.Error()+": "))
}

// widen enlarges a pipe where the kernel allows it. Without privileges the sum
// of all pipes is limited, and a small pipe works as well.
func widen(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize)
	})
}
