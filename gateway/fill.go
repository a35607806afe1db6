package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"postern/gateway/usage"
	"postern/policy"
	"postern/sandbox"
)

const (
	// countPatience is how long a session waits until its folder has been counted. One
	// of a million files takes some seconds.
	countPatience = 10 * time.Second
	// fillPause is how often it is looked whether a folder has to be counted again.
	fillPause = time.Second
)

// fits is the gate of what the folder of a push holds, which is looked after from then
// on: other sessions fill it too, and a rule can come to say less.
func (g *grant) fits() (leave func(), refusal *policy.Refusal) {
	if d := g.decision; d.Tool != policy.Rsync || !d.Stores {
		return nil, nil
	}
	if rule := *g.rule.Load(); rule.Measured() {
		if refusal := g.counted(rule); refusal != nil {
			return nil, refusal
		}
	}
	ctx, cancel := context.WithCancel(g.session.ctx)
	g.session.spawn(func() { g.watchFill(ctx) })
	return cancel, nil
}

// counted has the folder of the rule counted, and refuses where it holds too much. A
// folder that takes its time to be counted is no reason to keep the client waiting: if
// there was room the last time, or nobody knows, the session begins, and ends once it
// is counted that there is none.
func (g *grant) counted(rule policy.Rule) *policy.Refusal {
	meter := g.session.server.meter
	ctx, stop := g.patience()
	defer stop()
	before, known := meter.Last(rule.Path)
	figures := make(chan usage.Figure, 1)
	g.session.spawn(func() {
		defer close(figures)
		if figure, err := meter.Count(ctx, rule.Path); err == nil {
			figures <- figure
		}
	})
	limit := time.NewTimer(countPatience)
	defer limit.Stop()
	select {
	case figure, ok := <-figures:
		return holds(ctx, rule, figure, ok)
	case <-limit.C:
	}
	if !known || overfull(rule, before) == nil {
		return nil
	}
	g.session.say(g.session.channel.Stderr(), fmt.Sprintf("postern: counting what %s holds, which was too much the last time\n", rule.Path))
	figure, ok := <-figures
	return holds(ctx, rule, figure, ok)
}

// holds is the refusal of a folder that was counted, or of a session that ended
// before it was.
func holds(ctx context.Context, rule policy.Rule, figure usage.Figure, counted bool) *policy.Refusal {
	if !counted {
		return gaveUp(ctx)
	}
	return overfull(rule, figure)
}

// overfull is the refusal of a folder that holds too much, or nobody knows how much.
func overfull(rule policy.Rule, figure usage.Figure) *policy.Refusal {
	if figure.Err == nil {
		return rule.Fits(figure.Usage)
	}
	refusal := &policy.Refusal{Code: "uncounted", Status: policy.ExitRefused, Detail: figure.Err.Error(),
		Message: fmt.Sprintf("what %s holds cannot be counted, and there is a limit of that", rule.Path),
		Remedy:  "ask the gateway's operator to look at its records"}
	var at *fs.PathError
	if errors.Is(figure.Err, fs.ErrPermission) && errors.As(figure.Err, &at) {
		refusal.Message += fmt.Sprintf(": the gateway may not read %q in it", at.Path)
		refusal.Remedy = "let the owner read every folder (rsync --chmod=Du+rwx), or " + refusal.Remedy
	}
	return refusal
}

// watchFill ends the session when its rule, as it is at the moment, does not let its
// folder hold as much as it does, or leaves more free. What the session has sent is no
// measure of that, so it looks.
func (g *grant) watchFill(ctx context.Context) {
	ticker := time.NewTicker(fillPause)
	defer ticker.Stop()
	was, since := *g.rule.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		rule := *g.rule.Load()
		if rule.Path != was.Path || rule.Quota != was.Quota || rule.MaxFiles != was.MaxFiles {
			// What was counted before that says nothing of now.
			was, since = rule, time.Now()
		}
		if refusal := g.session.server.filled(rule, since); refusal != nil {
			g.session.cancel(&revocation{why: refusal.Error(), code: refusal.Code, full: true})
			return
		}
	}
}

// filled is why a session of the rule must not store more, by what was counted since a
// time. It has the folder counted again where that is due.
func (s *Server) filled(rule policy.Rule, since time.Time) *policy.Refusal {
	left, err := usage.LeftAt(rule.Path)
	if refusal := rule.LeavesFree(left.Bytes, err == nil); refusal != nil {
		return refusal
	}
	if !rule.Measured() {
		return nil
	}
	figure, known := s.meter.Last(rule.Path)
	if !known || figure.Due(rule, time.Now(), left) {
		s.meter.Ask(rule.Path)
	}
	if !known || !figure.Ended.After(since) {
		return nil
	}
	return overfull(rule, figure)
}

// withRoom completes a decision with what the folder holds, however long it takes to
// count that.
func withRoom(ctx context.Context, d policy.Decision) policy.Decision {
	if d.Verdict != policy.Allow || !d.Stores || !d.Rules[0].Measured() {
		return d
	}
	rule, figure := d.Rules[0], usage.Figure{}
	folder, err := sandbox.OpenPath(rule.Path)
	if err != nil {
		figure.Err = err
	} else {
		defer folder.Close()
		figure.Usage, figure.Err = usage.Count(ctx, folder)
	}
	if refusal := overfull(rule, figure); refusal != nil {
		d.Verdict, d.Refusal = policy.Deny, refusal
	}
	return d
}
