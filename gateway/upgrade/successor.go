package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Successor is the process that is to take over. Its methods are for one goroutine.
type Successor struct {
	line    line
	process *os.Process
	// ended is closed when it has, and how is set then.
	ended chan struct{}
	how   *os.ProcessState
}

// Start starts a binary with the arguments, the first of which is its name, and the
// environment of this gateway, without what is this process's alone. It gets the three
// standard streams of this one. The caller ends what it has started, by
// [Successor.Abandon] or by taking it for ready.
func Start(binary string, args, environment []string) (*Successor, error) {
	l, theirs, err := ends()
	if err != nil {
		return nil, fmt.Errorf("make a socket for the new gateway: %w", err)
	}
	defer theirs.Close()
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	process, err := os.StartProcess(binary, args, &os.ProcAttr{
		Env:   append(inherited(environment), Variable+"="+strconv.Itoa(Descriptor)),
		Files: append(files, theirs), // which makes it the Descriptor
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", binary, err), l.Close())
	}
	s := &Successor{line: l, process: process, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.how, _ = process.Wait()
	}()
	return s, nil
}

// inherited leaves out of an environment what names this process: who is to answer the
// watchdog of systemd, and whose its sockets are.
func inherited(environment []string) []string {
	return slices.DeleteFunc(slices.Clone(environment), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains([]string{Variable, "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}, name)
	})
}

// PID is its process number.
func (s *Successor) PID() int { return s.process.Pid }

// Prepared waits until it could serve, or returns why it will not. It says no more than
// that until it got its estate.
func (s *Successor) Prepared(ctx context.Context) error { return s.await(ctx, prepared) }

// Bequeath gives it the estate, whose files stay the caller's, and waits until it serves,
// or returns why it will not.
func (s *Successor) Bequeath(ctx context.Context, e *Estate) error {
	if err := s.line.send(packet{Kind: estate, Estate: e}); err != nil {
		return s.explain(err)
	}
	return s.await(ctx, ready)
}

// await waits for a packet of a kind.
func (s *Successor) await(ctx context.Context, kind string) error {
	defer context.AfterFunc(ctx, func() { _ = s.line.SetReadDeadline(time.Unix(1, 0)) })()
	p, err := s.line.receive()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("it was not %s: %w", kind, context.Cause(ctx))
	case err != nil:
		return s.explain(err)
	case p.Kind == failed:
		return errors.New(p.Why)
	case p.Kind != kind:
		return fmt.Errorf("it says %.100q, and should that it is %s", p.Kind, kind)
	}
	return nil
}

// endPatience is how long a process may take to end that has closed its socket.
const endPatience = time.Second

// explain says why it does not speak.
func (s *Successor) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.EPIPE) {
		return err
	}
	select {
	case <-s.ended:
		return fmt.Errorf("it ended before it was ready: %s; what it said is where this gateway writes its log", s.how)
	case <-time.After(endPatience):
		return errors.New("it closed its socket before it was ready")
	}
}

// Abandon kills it, and returns once it is gone.
func (s *Successor) Abandon() {
	_ = s.process.Kill() // which fails when it has ended
	<-s.ended
	s.line.Close()
}

// Order is what the newest gateway has an older one do.
type Order int

// The orders. Gone is that there is nobody to give one any more.
const (
	Gone Order = iota
	Stop
	Passed
)

// Next waits for an order, until Interrupt is called.
func (s *Successor) Next() Order {
	for {
		p, err := s.line.receive()
		switch {
		case err != nil:
			return Gone
		case p.Kind == stop:
			return Stop
		case p.Kind == passed:
			return Passed
		}
	}
}

// Interrupt has Next return. The successor takes the end of the socket for that of this
// process, which is why it stays open.
func (s *Successor) Interrupt() { _ = s.line.SetReadDeadline(time.Unix(1, 0)) }

// Close lets go of a successor that is gone.
func (s *Successor) Close() { s.line.Close() }
