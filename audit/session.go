package audit

import (
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// RequestsRefused records the requests that were refused without a decision:
// shells with a terminal, forwardings, variables and the like. counts says how
// often each kind came; scope says on what: "connection", or the session's
// identifier. Stock clients ask for some of it every time, so it is no warning.
func (t *Trail) RequestsRefused(c Connection, scope string, counts map[string]int) error {
	return t.record(zerolog.InfoLevel, "requests refused", loose, func(e *zerolog.Event) {
		c.mark(e)
		e.Str("scope", scope)
		counted(e, counts)
	})
}

// Decision is what was decided about one request.
type Decision struct {
	// Session is the identifier that the session's other records carry.
	Session string
	// Request is what the client sent, byte for byte; Arguments is what it
	// sent behind it as secluded arguments.
	Request   string
	Arguments []string
	// Tool and Direction are what the request asked for, as far as it was
	// understood.
	Tool, Direction string
	// Verdict is allow, answer or deny.
	Verdict string
	// Code and Why are the reason of a denial; Detail is for the operator
	// alone.
	Code, Why, Detail string
	// Rules are the places of the rules that decided.
	Rules []string
	// Program, Args and Dir are what is started.
	Program string
	Args    []string
	Dir     string
	// Confinement is the word for how the kernel holds it.
	Confinement string
	// User is the uid and the gid that it runs as.
	User string
	// Stores says that the request can add to what is kept.
	Stores bool
}

// SessionDecided records a decision, before anything is done about it.
func (t *Trail) SessionDecided(c Connection, d Decision) error {
	level := zerolog.InfoLevel
	if d.Verdict == "deny" {
		level = zerolog.WarnLevel
	}
	return t.record(level, decidedEvent, binding, func(e *zerolog.Event) {
		c.mark(e)
		e.Str("session", d.Session)
		if t.store != nil {
			e.Uint64("gateway", t.began)
		}
		foreign(e, "request", d.Request)
		if d.Arguments != nil {
			foreignWords(e, "arguments", d.Arguments)
		}
		e.Str("tool", d.Tool).Str("direction", d.Direction).Str("verdict", d.Verdict).Strs("rules", d.Rules)
		for _, field := range []struct{ key, text string }{
			{"code", d.Code}, {"why", d.Why}, {"detail", d.Detail}, {"program", d.Program}, {"dir", d.Dir},
			{"confinement", d.Confinement}, {"user", d.User},
		} {
			if field.text != "" {
				foreign(e, field.key, field.text)
			}
		}
		if d.Args != nil {
			e.Bool("stores", d.Stores)
			foreignWords(e, "args", d.Args)
		}
	})
}

// Operations are what a borg client asked of its repositories in one session,
// whether borg did it or not.
type Operations struct {
	Session      string
	Repositories []Repository
	// Stopped says why the counting ended early, if it did.
	Stopped string
}

// Repository is what was asked of one repository.
type Repository struct {
	Path string
	// Create says that a new one was asked for.
	Create bool
	// Methods counts the calls of borg's protocol by their names.
	Methods map[string]int64
	// Put is how many bytes were sent to be stored.
	Put int64
}

// BorgServed records the operations of a session.
func (t *Trail) BorgServed(c Connection, o Operations) error {
	return t.record(zerolog.InfoLevel, servedEvent, loose, func(e *zerolog.Event) {
		c.mark(e)
		e.Str("session", o.Session)
		repositories := e.CreateArray()
		for _, r := range o.Repositories {
			d := e.CreateDict()
			foreign(d, "path", r.Path)
			methods := e.CreateDict()
			for _, name := range slices.Sorted(maps.Keys(r.Methods)) {
				methods.Int64(name, r.Methods[name])
			}
			repositories.Dict(d.Bool("create", r.Create).Int64("put", r.Put).Dict("methods", methods))
		}
		e.Array("repositories", repositories)
		if o.Stopped != "" {
			foreign(e, "stopped", o.Stopped)
		}
	})
}

// End is how a session ended.
type End struct {
	Session string
	// Status is what the client was told.
	Status int
	// Signal is the name of the signal that ended the child, if one did.
	Signal string
	Lasted time.Duration
	// In is what the client sent to the child; Out and Err are what it was
	// sent of the child's output. All in bytes.
	In, Out, Err int64
	// Why says who ended the session, and Code is the limit that did, if one did.
	Why, Code string
	// Failure is what kept the child from starting.
	Failure string
	// Files counts what an rsync did to files; nil where nobody counted.
	Files *FileCounts
}

// SessionEnded records the end of a session that was allowed.
func (t *Trail) SessionEnded(c Connection, s End) error {
	return t.record(zerolog.InfoLevel, endedEvent, closing, func(e *zerolog.Event) {
		c.mark(e)
		e.Str("session", s.Session).Int("status", s.Status)
		if s.Signal != "" {
			e.Str("signal", s.Signal)
		}
		e.Float64("seconds", s.Lasted.Seconds()).Int64("in", s.In).Int64("out", s.Out).Int64("err", s.Err)
		s.Files.mark(e)
		if s.Code != "" {
			e.Str("code", s.Code)
		}
		foreign(e, "why", s.Why)
		if s.Failure != "" {
			foreign(e, "failure", s.Failure)
		}
	})
}
