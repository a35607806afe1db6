package sandbox

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running child and its process group. Its methods may be called
// from several goroutines and more than once.
type Process struct {
	// Stdin, Stdout and Stderr are the gateway's ends of the child's pipes.
	// They have deadlines; nothing copies behind the caller's back.
	Stdin, Stdout, Stderr *os.File
	// Log is the gateway's end of the child's log, if the order has one: it
	// ends when the child has ended and so have all who inherited it. It has
	// deadlines, and Wait does not close it.
	Log *os.File

	// logEnd is the end to write to, which keeps the log from being at its end
	// before the child has opened it.
	logEnd *os.File
	level  Level
	child  *os.Process
	done   chan struct{}
	// status is where a helper that stays above the program tells how that
	// ended.
	status *os.File

	// mu keeps signals and reaping apart: a group may be signalled only
	// while its leader's number cannot belong to anyone else.
	mu     sync.Mutex
	reaped bool
	exit   Exit
}

// Exit is how a child ended: with a status, or by a signal.
type Exit struct {
	Status int
	// Signal is zero unless a signal ended the child.
	Signal syscall.Signal
}

// Level is the confinement that the child has.
func (p *Process) Level() Level { return p.level }

// Pid is the number of the child's process, or of the helper above it, and of
// their group.
func (p *Process) Pid() int { return p.child.Pid }

// Done is closed when the child has ended. Members of its group may still run,
// and output may still wait in the pipes.
func (p *Process) Done() <-chan struct{} { return p.done }

// watch closes done when the child has ended, and leaves it to be reaped.
func (p *Process) watch() {
	defer close(p.done)
	defer p.logEnd.Close()
	for {
		err := unix.Waitid(unix.P_PID, p.child.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Terminate sends TERM to the child's group.
func (p *Process) Terminate() { p.signal(unix.SIGTERM) }

// Kill sends KILL to the child's group.
func (p *Process) Kill() { p.signal(unix.SIGKILL) }

// signal reaches the whole group. Its only failure is that nobody is left.
func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(-p.child.Pid, s)
	}
}

// End sends TERM to the group and, when the child still runs after grace,
// KILL. It returns when the child has ended.
func (p *Process) End(grace time.Duration) {
	p.Terminate()
	if !p.EndsWithin(grace) {
		p.Kill()
		<-p.done
	}
}

// EndsWithin waits for the child, at most for the given time, and reports
// whether it has ended.
func (p *Process) EndsWithin(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// Wait waits for the child, kills what is left of its group, closes the
// streams and returns how the child ended. Output that nobody has read by then
// is lost.
func (p *Process) Wait() Exit {
	<-p.done
	p.Kill()
	for _, f := range []*os.File{p.Stdin, p.Stdout, p.Stderr} {
		f.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.reaped, p.exit = true, reap(p.child, p.status)
		p.status.Close()
	}
	return p.exit
}

// reap asks for the status of a child that has ended. What its helper told comes
// before how the helper ended.
func reap(child *os.Process, told io.Reader) Exit {
	state, err := child.Wait()
	if err != nil {
		// Only someone who reaps the gateway's children behind its back
		// gets here; the status is then unknown, and not a success.
		return Exit{Status: exitUnable}
	}
	status := state.Sys().(syscall.WaitStatus)
	var word [4]byte
	if _, err := io.ReadFull(told, word[:]); err == nil {
		status = syscall.WaitStatus(binary.NativeEndian.Uint32(word[:]))
	}
	if status.Signaled() {
		return Exit{Signal: status.Signal()}
	}
	return Exit{Status: status.ExitStatus()}
}
