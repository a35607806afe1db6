package gateway

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"

	"postern/audit"
	"postern/policy"
	"postern/sandbox"
)

// Exit statuses for what has none: the shell's habit for a signal, and what is
// told in place of 255, which clients take for a broken connection.
const (
	exitSignal = 128
	exitBroken = 255
	exitMost   = 254
)

// execute runs a child to its end. It leaves the gates before the client learns of the
// end, since that may begin the next session at once.
func (s *session) execute(c *child, input *bufio.Reader, leave func()) {
	end := audit.End{Session: s.id}
	start := s.server.config.Now()
	s.server.children.Add(1)
	defer s.server.children.Add(-1)
	p, err := sandbox.Start(s.server.config.Self, c.order)
	c.closeFolders()
	if err != nil {
		end.Status, end.Why, end.Failure = policy.ExitRefused, string(endExited), err.Error()
		s.recordSession(end)
		leave()
		s.deny(input, "the program could not be started; tell the gateway's operator to look at its records", policy.ExitRefused)
		return
	}
	s.started.Store(true)
	// Nothing below panics; a child must not outlive it if something did.
	defer func() { p.Kill(); p.Wait() }()
	var heard *listener
	if c.tool == policy.Borg {
		heard = &listener{}
	}
	files := s.follow(p.Log, c.touched)
	exit := s.attend(p, input, heard, &end)
	if heard != nil {
		// Where it cannot be recorded, the end that follows says so.
		_ = s.server.config.Trail.BorgServed(s.about, heard.operations(s.id))
	}
	end.Files = files(exit)
	end.Status, end.Signal, end.Lasted = status(exit), signalName(exit), s.server.config.Now().Sub(start)
	if r, ok := revoked(s.ctx); ok && end.Why != string(endExited) {
		end.Code = r.code
	}
	if _, told := parting(s.ctx); told && end.Why != string(endExited) && end.Status == 0 {
		end.Status = policy.ExitRefused // what was cut off did not succeed
	}
	s.recordSession(end)
	leave()
	s.finish(end.Status)
}

// recordSession writes the record of the end. Where that fails there is nothing left
// to prevent; the next session will be.
func (s *session) recordSession(end audit.End) { _ = s.server.config.Trail.SessionEnded(s.about, end) }

// status is what the client is told.
func status(exit sandbox.Exit) int {
	switch {
	case exit.Signal != 0:
		return exitSignal + int(exit.Signal)
	case exit.Status == exitBroken:
		return exitMost
	}
	return exit.Status
}

func signalName(exit sandbox.Exit) string {
	if exit.Signal == 0 {
		return ""
	}
	return exit.Signal.String()
}

// attend carries the streams between the client and the child until the child
// has ended and all its output is delivered, or the client is gone. heard, which
// may be nil, listens to what the child is given.
func (s *session) attend(p *sandbox.Process, input io.Reader, heard *listener, end *audit.End) sandbox.Exit {
	throttled, release := s.throttled()
	defer release()
	in := &inlet{server: s.server, to: p.Stdin, carried: &s.carried.in, take: func(n int) int { return s.account.In.Take(throttled, n) }}
	if heard != nil {
		in.heard = heard.hear
	}
	streams := s.newOutlets(p, func(n int) int { return s.account.Out.Take(throttled, n) })
	s.speakBy(streams)
	var outputs sync.WaitGroup
	outputs.Add(2)
	s.spawn(func() { in.carry(input) })
	s.spawn(func() { defer outputs.Done(); streams.carryOut() })
	s.spawn(func() { defer outputs.Done(); streams.carryComplaints() })

	end.Why = string(s.await(p))
	streams.childEnded()
	outputs.Wait()
	exit := p.Wait()
	end.In, end.Out, end.Err = s.carried.in.Load(), s.carried.out.Load(), s.carried.err.Load()
	return exit
}

// throttled is as long as the session's data waits for its limits: until it is
// released, or somebody other than the child ends the session, also while the last
// output of the child is still waiting.
func (s *session) throttled() (ctx context.Context, release func()) {
	ctx, release = context.WithCancel(s.ctx)
	s.spawn(func() {
		defer release()
		select {
		case <-s.closed:
		case <-ctx.Done():
		}
	})
	return ctx, release
}

// await returns when the child has ended, and who ended it.
func (s *session) await(p *sandbox.Process) ending {
	select {
	case <-p.Done():
		return endExited
	case <-s.closed:
	case <-s.ctx.Done():
	}
	why := s.whyGone()
	grace := s.server.config.KillGrace
	told := func() {}
	if text, is := parting(s.ctx); is {
		told = sync.OnceFunc(s.explain(text))
	}
	defer told()
	r, ok := revoked(s.ctx)
	switch {
	case ok && r.full:
		// What an rsync says when it is stopped comes after the reason. It rests for
		// 400 ms then, before it cleans up (sig_int in main.c).
		told()
		p.End(grace)
	case ok:
		hangUp(p, min(grace, revokeGrace))
	default:
		hangUp(p, grace)
	}
	return why
}

// whyGone is why a session ends though its child has not.
func (s *session) whyGone() ending {
	switch {
	case s.ctx.Err() != nil:
		return whyDone(s.ctx)
	case s.cut.Load():
		return endLost
	}
	return endClosed
}

// hangUp ends a child that has lost its client. Its input ends first, as under
// sshd: a borg that sees that releases its locks, an rsync keeps what it has
// with --partial. Only one that goes on is sent TERM, and then KILL.
func hangUp(p *sandbox.Process, grace time.Duration) {
	p.Stdin.Close()
	if !p.EndsWithin(grace) {
		p.End(grace)
	}
}
