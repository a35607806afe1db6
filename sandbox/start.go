package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
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

// Start starts the ordered program in a process group of its own and returns
// once it runs. When it returns an error nothing of the program has run. self is
// the binary whose main calls [Main]: /proc/self/exe.
//
// The caller owns the process: it must call [Process.Wait], where the three
// streams are closed.
func Start(self string, o Order) (*Process, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("refuse to start a child: %w", err)
	}
	l := &launch{}
	defer l.closeAll()
	p, err := l.start(self, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Program, err)
	}
	return p, nil
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
func (l *launch) start(self string, o Order) (*Process, error) {
	inR, inW, err1 := l.pipe()
	outR, outW, err2 := l.pipe()
	errR, errW, err3 := l.pipe()
	orderR, orderW, err4 := l.pipe()
	reportR, reportW, err5 := l.pipe()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	widen(inW)
	widen(outR)

	child, err := os.StartProcess(self, []string{self, verb}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: []*os.File{inR, outW, errW, orderR, reportW},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	// The helper's end must be the last one, or its exec would not be seen.
	reportW.Close()
	orderR.Close()
	p := &Process{Stdin: inW, Stdout: outR, Stderr: errR, child: child, done: make(chan struct{})}
	l.keep(inW, outR, errR)
	go p.watch()
	if err := handOver(o, orderW, reportR); err != nil {
		p.Kill()
		p.Wait()
		return nil, err
	}
	return p, nil
}

// handOver sends the order and returns once the helper has become the program,
// or why it has not.
func handOver(o Order, order, report *os.File) error {
	deadline := time.Now().Add(startLimit)
	if err := errors.Join(order.SetDeadline(deadline), report.SetDeadline(deadline)); err != nil {
		return err
	}
	sent := errors.Join(o.write(order), order.Close())
	reason, err := io.ReadAll(io.LimitReader(report, maxReport))
	switch {
	case len(reason) > 0:
		return errors.New(string(reason))
	case err != nil:
		return fmt.Errorf("wait for the helper: %w", err)
	}
	return sent
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
