package audit

import (
	"time"

	"github.com/rs/zerolog"
)

// Program is a program that children are started from.
type Program struct {
	Name, Path, Version string
	// Holes are the known holes of this version.
	Holes []string
}

// Start is the posture with which a gateway starts.
type Start struct {
	Version string
	Listen  []string
	// HostKeys are fingerprints.
	HostKeys []string
	Clients  int
	// Policy is the hash of every file that was loaded.
	Policy   string
	Programs []Program
	// Confinement is the word for how the kernel holds children.
	Confinement string
}

// GatewayStarted records that the gateway is about to accept connections.
func (t *Trail) GatewayStarted(s Start) error {
	return t.record(zerolog.InfoLevel, startedEvent, binding, func(e *zerolog.Event) {
		t.mark(e, t.began)
		e.Str("version", s.Version).Strs("listen", s.Listen).Strs("host_keys", s.HostKeys)
		e.Int("clients", s.Clients).Str("policy", s.Policy).Str("confinement", s.Confinement)
		programs := e.CreateArray()
		for _, p := range s.Programs {
			programs.Dict(e.CreateDict().Str("name", p.Name).Str("path", p.Path).
				Str("version", p.Version).Strs("holes", p.Holes))
		}
		e.Array("programs", programs)
	})
}

// GatewayDraining records that the gateway serves nobody new, and lets so many
// sessions finish until a time.
func (t *Trail) GatewayDraining(why string, sessions int, until time.Time) error {
	return t.record(zerolog.InfoLevel, "gateway draining", loose, func(e *zerolog.Event) {
		t.mark(e, t.began)
		e.Str("why", why).Int("sessions", sessions).Str("until", until.UTC().Format(timeFormat))
	})
}

// GatewayStopped records that the gateway has ended, and why.
func (t *Trail) GatewayStopped(why string) error {
	r := t.stopped(zerolog.InfoLevel, t.began, func(e *zerolog.Event) { e.Str("why", why) })
	return t.record(r.level, r.event, r.care, r.fields)
}

// stopped tells that a gateway has ended.
func (t *Trail) stopped(level zerolog.Level, gateway uint64, fields func(*zerolog.Event)) entry {
	return entry{level, stoppedEvent, closing, func(e *zerolog.Event) {
		t.mark(e, gateway)
		fields(e)
	}}
}

// mark adds a gateway, and those beside it, to a record. Of a trail that is only
// printed there is one.
func (t *Trail) mark(e *zerolog.Event, gateway uint64) {
	if t.store == nil {
		return
	}
	e.Uint64("gateway", gateway)
	if t.shared != nil {
		if beside := t.shared.turn.sheet.others(gateway); len(beside) > 0 {
			e.Uints64("beside", beside)
		}
	}
}

// GatewayUpgraded records that another gateway has taken over from this one, whose
// sessions go on, as many as there are.
func (t *Trail) GatewayUpgraded(sessions int) error {
	return t.record(zerolog.InfoLevel, "gateway upgraded", binding, func(e *zerolog.Event) {
		t.mark(e, t.began)
		e.Int("sessions", sessions)
	})
}

// UpgradeFailed records why no other gateway has taken over from this one.
func (t *Trail) UpgradeFailed(why string) error {
	return t.record(zerolog.ErrorLevel, "upgrade failed", loose, func(e *zerolog.Event) {
		t.mark(e, t.began)
		foreign(e, "why", why)
	})
}

// ListenerFailed records that the gateway cannot accept connections on an
// address at the moment.
func (t *Trail) ListenerFailed(address string, failure error) error {
	return t.record(zerolog.ErrorLevel, "listener failed", loose, func(e *zerolog.Event) {
		e.Str("listen", address).Str("error", failure.Error())
	})
}

// ControlRefused records a process of this host that connected to the control socket
// and may not ask there. The process is 0 where it cannot be seen.
func (t *Trail) ControlRefused(uid uint32, pid int32) error {
	return t.record(zerolog.WarnLevel, "control refused", loose, func(e *zerolog.Event) {
		e.Uint32("uid", uid).Int32("pid", pid)
	})
}

// Connection is where an event comes from. What is not known yet is empty.
type Connection struct {
	// ID is the gateway's own name for the connection.
	ID string
	// Address is the peer's, with its port, and Proxy that of the proxy which said
	// so, if one did.
	Address, Proxy string
	// Login is the login name that the peer sent, and Software what it says
	// it is.
	Login, Software string
	// Client, Key and Certificate say who it is, once that was proved: the
	// client's name, the fingerprint, and the certificate's serial and key
	// identifier.
	Client, Key, Certificate string
}

// mark adds the connection to a record.
func (c Connection) mark(e *zerolog.Event) {
	e.Str("connection", c.ID).Str("address", c.Address)
	if c.Proxy != "" {
		e.Str("proxy", c.Proxy)
	}
	for _, field := range []struct{ key, text string }{
		{"login", c.Login}, {"software", c.Software},
		{"client", c.Client}, {"key", c.Key}, {"certificate", c.Certificate},
	} {
		if field.text != "" {
			foreign(e, field.key, field.text)
		}
	}
}

// ConnectionRefused records a connection that ended before anyone proved who
// they are. Where too many come in a minute, the trail counts them.
func (t *Trail) ConnectionRefused(c Connection, why string) error {
	return t.attempt(c, refusedEvent, "", func(e *zerolog.Event) {
		c.mark(e)
		foreign(e, "why", why)
	})
}

// ConnectionAccepted records that a client proved who it is and was let in.
func (t *Trail) ConnectionAccepted(c Connection) error {
	return t.record(zerolog.InfoLevel, acceptedEvent, loose, c.mark)
}

// ConnectionEnded records the end of an accepted connection: how long it
// lasted, how many sessions it carried, and why it ended.
func (t *Trail) ConnectionEnded(c Connection, lasted time.Duration, sessions int, why string) error {
	return t.record(zerolog.InfoLevel, leftEvent, loose, func(e *zerolog.Event) {
		c.mark(e)
		e.Float64("seconds", lasted.Seconds()).Int("sessions", sessions)
		foreign(e, "why", why)
	})
}

// KeyRefusal is a key that was not let in.
type KeyRefusal struct {
	Fingerprint, Type string
	// Proved says that the peer showed that it holds the key; otherwise it
	// merely named it.
	Proved bool
	// Code names the reason in one word; Why is the reason.
	Code, Why string
}

// KeyRefused records a key that was offered and not let in. Where too many come in
// a minute, the trail counts them.
func (t *Trail) KeyRefused(c Connection, k KeyRefusal) error {
	return t.attempt(c, keyRefusedEvent, k.Code, func(e *zerolog.Event) {
		c.mark(e)
		e.Str("fingerprint", k.Fingerprint).Str("type", k.Type).Bool("proved", k.Proved).Str("code", k.Code)
		foreign(e, "why", k.Why)
	})
}

// Panicked records a fault of the gateway itself, which ended one connection.
func (t *Trail) Panicked(c Connection, cause, stack string) error {
	return t.record(zerolog.ErrorLevel, "panic", loose, func(e *zerolog.Event) {
		c.mark(e)
		foreign(e, "cause", cause)
		foreign(e, "stack", stack)
	})
}

// The names of the events that readers look for.
const (
	startedEvent    = "gateway started"
	stoppedEvent    = "gateway stopped"
	acceptedEvent   = "connection accepted"
	refusedEvent    = "connection refused"
	keyRefusedEvent = "key refused"
)
