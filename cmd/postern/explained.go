package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"postern/gateway"
	"postern/gateway/limit"
	"postern/policy"
	"postern/registry"
)

// explained is the result of postern explain.
type explained struct {
	// Decision is allow, deny, or answer for what the gateway answers itself.
	Decision string `json:"decision"`
	Client   string `json:"client,omitempty"`
	File     string `json:"file,omitempty"`
	Key      string `json:"key,omitempty"`
	Comment  string `json:"comment,omitempty"`
	Login    string `json:"login,omitempty"`
	Address  string `json:"address,omitempty"`
	// Assumed is what was not said and had to be taken for something.
	Assumed []string `json:"assumed,omitempty"`
	// Command is the exec string; Secluded follows on standard input.
	Command  string   `json:"command"`
	Secluded []string `json:"secluded,omitempty"`

	Tool      string   `json:"tool,omitempty"`
	Direction string   `json:"direction,omitempty"`
	Rules     []string `json:"rules,omitempty"`
	Program   string   `json:"program,omitempty"`
	Args      []string `json:"args,omitempty"`
	Env       []string `json:"env,omitempty"`
	Dir       string   `json:"dir,omitempty"`
	Umask     string   `json:"umask,omitempty"`
	// User is the uid and the gid that the program runs as.
	User   string      `json:"user,omitempty"`
	Limits shownLimits `json:"limits,omitzero"`
	// HoursEnd is until when sessions of the client may begin.
	HoursEnd *time.Time `json:"hours_end,omitempty"`
	Answer   string     `json:"answer,omitempty"`

	// Code, Reason, Remedy and Detail are why not.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Line is the line that would allow it, and Into where it belongs.
	Line string `json:"line,omitempty"`
	Into string `json:"into,omitempty"`

	// Repository is what a borg command line asks for inside the protocol.
	Repository  string `json:"repository,omitempty"`
	Confinement string `json:"confinement"`
}

func (e *explained) assume(format string, args ...any) {
	e.Assumed = append(e.Assumed, fmt.Sprintf(format, args...))
}

// decide fills in what becomes of the command at a time. How much of its other limits
// the client has used up at that time, only a gateway that runs knows.
func (e *explained) decide(ctx context.Context, c registry.Client, host policy.Host, cmd command, now time.Time) {
	request, refusal := policy.Parse(cmd.exec)
	if refusal == nil && request.Secluded() {
		if cmd.secluded == nil {
			e.assume("nothing follows on standard input, where -s puts the rest of the command")
			cmd.secluded = []string{"rsync"}
		}
		request, refusal = request.WithArguments(cmd.secluded)
	}
	if refusal != nil {
		e.refuse(refusal)
		return
	}
	d := gateway.Decide(ctx, c, host, request)
	e.Decision, e.Tool, e.Direction = d.Verdict.String(), string(d.Tool), string(d.Direction)
	for _, r := range d.Rules {
		e.Rules = append(e.Rules, r.Where+": "+showRule(r).describe())
	}
	if len(d.Rules) > 0 {
		e.Into = d.Rules[0].Where
	}
	switch d.Verdict {
	case policy.Allow:
		e.Program, e.Args, e.Env, e.Dir = d.Program, d.Args, d.Env, d.Dir
		e.Umask, e.User, e.Limits = fmt.Sprintf("%04o", d.Umask), d.User.String(), showLimits(c)
		e.Into = ""
		for _, r := range d.Alters() {
			if r.OneWriter {
				e.assume("no other session writes in %s at that time: this one would wait for its end", r.Path)
			}
		}
		if cmd.borg != nil {
			e.checkRepository(*cmd.borg, d)
		}
		e.limit(c, now)
	case policy.Answer:
		e.Answer, e.Into = d.Answer, ""
	default:
		e.refuse(d.Refusal)
	}
}

// limit fills in what the client's limits make of a session that its rules allow.
func (e *explained) limit(c registry.Client, now time.Time) {
	if closed := limit.Closed(c, now); closed != nil {
		e.refuse(closed)
		return
	}
	if ends, ok := c.Bounds.Hours.Turn(now); ok {
		e.HoursEnd = &ends
	}
	if most, ok := c.Bounds.Connections.Number(); ok {
		e.assume("the client has fewer than %d other connections then (limits.connections)", most)
	}
	if most, ok := c.Bounds.Sessions.Number(); ok {
		e.assume("the client runs fewer than %d other sessions then (limits.sessions)", most)
	}
}

// refuse fills in why not. Where a rule refused, the line belongs to that rule;
// else into the client's file.
func (e *explained) refuse(r *policy.Refusal) {
	e.Decision = policy.Deny.String()
	e.Code, e.Reason, e.Remedy, e.Detail, e.Line = r.Code, r.Message, r.Remedy, r.Detail, r.Line
	switch {
	case e.Line == "":
		e.Into = ""
	case e.Into == "":
		e.Into = e.File + ", under allow"
	default:
		e.Into += ", into that rule"
	}
}

// checkRepository holds the repository of a borg command line against the rules.
// Borg itself does that when the client asks for it inside the protocol.
func (e *explained) checkRepository(line borgLine, d policy.Decision) {
	asked, ok := line.asks(d.Dir)
	if !ok {
		e.assume("the repository %q lies within the rules: its path is known only on the client", line.path)
		return
	}
	e.Repository = asked
	for _, r := range d.Rules {
		if within(asked, r.Path) {
			return
		}
	}
	e.Decision = policy.Deny.String()
	e.Code = "path-outside"
	e.Reason = fmt.Sprintf("the gateway starts borg, and borg refuses the repository %q: it is outside the allowed paths", asked)
	e.Remedy = "use a repository inside them"
	e.Line = "- borg: " + asked
	e.Into = e.File + ", under allow"
}

func (e *explained) print(w io.Writer) {
	rows := [][]string{{"decision", e.Decision}}
	row := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if e.Client != "" {
		row("client", e.Client+" ("+e.File+")")
	}
	row("key", strings.TrimSpace(e.Key+" "+e.Comment))
	row("login", e.Login)
	row("address", e.Address)
	row("command", e.Command)
	if e.Secluded != nil {
		row("then", policy.Quote(e.Secluded))
	}
	row("repository", e.Repository)
	for _, r := range e.Rules {
		row("rule", r)
	}
	row("answer", e.Answer)
	row("runs", e.Program)
	if e.Args != nil {
		row("arguments", policy.Quote(e.Args))
	}
	row("folder", e.Dir)
	row("user", e.User)
	rows = append(rows, e.Limits.rows()...)
	if e.HoursEnd != nil {
		row("hours", "until "+e.HoursEnd.Format("Mon 2006-01-02 15:04 MST"))
	}
	row("reason", e.Reason)
	row("detail", e.Detail)
	row("remedy", e.Remedy)
	row("add", e.Line)
	row("to", e.Into)
	row("confinement", e.Confinement)
	for _, a := range e.Assumed {
		row("assumed", a)
	}
	table(w, rows)
}
