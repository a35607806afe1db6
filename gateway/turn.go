package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postern/gateway/limit"
	"postern/gateway/writers"
	"postern/policy"
	"postern/sandbox"
)

// defaultWait is how long a session waits for another that writes, unless its rule
// says so: longer than most backups that run every hour, and not so long that those
// of a night pile up.
const defaultWait = 10 * time.Minute

// takeTurn is the gate of those that write in the same folders, where a rule lets one
// do so at a time.
func (g *grant) takeTurn() (leave func(), refusal *policy.Refusal) {
	rules := g.altered()
	if len(rules) == 0 {
		return nil, nil
	}
	s := g.session
	ctx, stop := g.patience()
	defer stop()
	hide := func() {}
	turn := writers.Session{ID: s.id, Client: s.about.Client, Wait: waitOf(rules)}
	for _, rule := range rules {
		turn.Claims = append(turn.Claims, writers.Claim{Folder: rule.Path, Sole: rule.OneWriter})
	}
	turn.Waits = func(folder string) {
		hide = g.enrol()
		s.say(s.channel.Stderr(), fmt.Sprintf("postern: waiting for another session that writes in %s, for up to %s\n", folder, limit.Span(turn.Wait)))
	}
	leave, err := s.server.turns.Enter(ctx, turn, s.server.config.Clients.Load().OneWriter())
	hide()
	if err != nil {
		return nil, noTurn(ctx, err, turn.Wait)
	}
	return leave, nil
}

// altered are the rules in whose folders the session can change something. A folder
// that is not there is not shown to the child either.
func (g *grant) altered() []policy.Rule {
	var rules []policy.Rule
	for _, rule := range g.decision.Alters() {
		if g.tree.IsDir(rule.Path) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// waitOf is how long a session of some rules waits for another at most.
func waitOf(rules []policy.Rule) time.Duration {
	shortest := time.Duration(-1)
	for _, rule := range rules {
		wait := defaultWait
		if seconds, ok := rule.Wait.Number(); ok {
			wait = time.Duration(seconds) * time.Second
		}
		if shortest < 0 || wait < shortest {
			shortest = wait
		}
	}
	return shortest
}

// patience returns a context for what a session waits for before it begins: it is done
// when the session must end, when its client has left, and when the gateway retires.
func (g *grant) patience() (_ context.Context, stop func()) {
	s := g.session
	ctx, cancel := context.WithCancelCause(s.ctx)
	s.spawn(func() {
		select {
		case <-s.closed:
			cancel(s.whyGone())
		case <-s.server.retirement.begun.reached:
			cancel(retired())
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(nil) }
}

// noTurn is the refusal of a session that waited for its turn, or for a context.
func noTurn(ctx context.Context, err error, wait time.Duration) *policy.Refusal {
	var busy *writers.Busy
	switch {
	case ctx.Err() != nil:
		return gaveUp(ctx)
	case errors.As(err, &busy):
		return &policy.Refusal{Code: "busy", Status: policy.ExitRefused, Line: "wait: TIME", Detail: busy.Error(),
			Message: fmt.Sprintf("another session, of yours or of another client, writes in %s, and this one waits for %s at most (one_writer, wait: %s)",
				busy.Folder, limit.Span(wait), limit.Span(wait)),
			Remedy: "try again when that has ended, or ask the gateway's operator for a longer wait"}
	case errors.Is(err, writers.ErrCrowded):
		return &policy.Refusal{Code: "busy", Status: policy.ExitRefused,
			Message: "too many sessions of yours wait for others that write already", Remedy: "try again when they have ended"}
	}
	return &policy.Refusal{Code: "one-writer", Status: policy.ExitRefused,
		Message: "the gateway cannot keep others from writing there at the same time",
		Remedy:  "tell the gateway's operator to look at its records",
		Detail:  fmt.Sprintf("%v; remove one_writer from the rule, or have its folder on a file system that locks folders (flock)", err)}
}

// gaveUp is the refusal of a session that ended while it waited.
func gaveUp(ctx context.Context) *policy.Refusal {
	var refusal *policy.Refusal
	if errors.As(context.Cause(ctx), &refusal) {
		return refusal
	}
	if r, ok := revoked(ctx); ok {
		return &policy.Refusal{Code: cmp.Or(r.code, "revoked"), Message: r.Error(), Status: policy.ExitRefused}
	}
	return &policy.Refusal{Code: "gone", Message: string(whyDone(ctx)), Status: policy.ExitRefused}
}

// CanWatch returns why the gateway cannot hold a rule to the limits of its folder: it
// must list what it counts, and lock what one session at a time may change.
func CanWatch(rule policy.Rule) error {
	alone := rule.OneWriter && rule.Access.MayWrite()
	if !alone && !rule.Measured() {
		return nil
	}
	folder, err := openToRead(rule.Path)
	if err != nil {
		return err
	}
	defer folder.Close()
	if !alone {
		return nil
	}
	return writers.Lockable(folder)
}

// openToRead opens a folder as [sandbox.OpenPath] does, to be listed and locked.
func openToRead(path string) (*os.File, error) {
	folder, err := sandbox.OpenPath(path)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	fd, err := unix.Openat(int(folder.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
