package door

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Penalties is how long each kind of failure keeps a source outside, as
// PerSourcePenalties of sshd does. Zeros stand for the defaults.
type Penalties struct {
	// Crash is for a fault of the gateway, AuthFail for keys in vain, NoAuth for
	// none, GraceExceeded for not being done in time, and RefuseConnection for a
	// key that is registered and may not come in from there, or now.
	Crash, AuthFail, NoAuth, GraceExceeded, RefuseConnection time.Duration
	// Min is what a source is barred from, and Max the most that it has.
	Min, Max time.Duration
	// MaxSources bounds the sources that are remembered: the least of them are
	// forgotten first.
	MaxSources int
	// Exempt are the networks that have none.
	Exempt []netip.Prefix
}

// DefaultPenalties are those of sshd.
func DefaultPenalties() Penalties {
	return Penalties{
		Crash: 90 * time.Second, AuthFail: 5 * time.Second, NoAuth: time.Second,
		GraceExceeded: 10 * time.Second, RefuseConnection: 10 * time.Second,
		Min: 15 * time.Second, Max: 10 * time.Minute, MaxSources: 65536,
	}
}

func (p Penalties) withDefaults() Penalties {
	d := DefaultPenalties()
	for _, pair := range []struct{ value, or *time.Duration }{
		{&p.Crash, &d.Crash}, {&p.AuthFail, &d.AuthFail}, {&p.NoAuth, &d.NoAuth}, {&p.GraceExceeded, &d.GraceExceeded},
		{&p.RefuseConnection, &d.RefuseConnection}, {&p.Min, &d.Min}, {&p.Max, &d.Max},
	} {
		if *pair.value == 0 {
			*pair.value = *pair.or
		}
	}
	if p.MaxSources == 0 {
		p.MaxSources = d.MaxSources
	}
	p.Max = max(p.Max, p.Min)
	return p
}

// Outcome is how a visit ended.
type Outcome int

// The outcomes, the failures from the least on.
const (
	// Nothing is nobody's failure, as when the gateway stops.
	Nothing Outcome = iota
	// Proved is a client that is in.
	Proved
	NoAuth
	AuthFail
	GraceExceeded
	RefuseConnection
	Crash
)

// of is what an outcome adds.
func (p Penalties) of(o Outcome) time.Duration {
	switch o {
	case Crash:
		return p.Crash
	case AuthFail:
		return p.AuthFail
	case NoAuth:
		return p.NoAuth
	case GraceExceeded:
		return p.GraceExceeded
	case RefuseConnection:
		return p.RefuseConnection
	}
	return 0
}

func (p Penalties) exempts(addr netip.Addr) bool {
	return slices.ContainsFunc(p.Exempt, func(n netip.Prefix) bool { return n.Contains(addr.WithZone("")) })
}

// wide are the networks of IPv6 that failures count for beside their source: what a
// site has, and what a provider has. They are barred from so many times the minimum.
var wide = [...]struct{ bits, times int }{{48, 16}, {32, 256}}

// ledger holds the penalties. Its owner locks.
type ledger struct {
	penalties Penalties
	entries   map[netip.Prefix]*entry
}

// entry is the penalty of one network.
type entry struct {
	// until is when nothing is left of it.
	until  time.Time
	barred bool
	// lastIn is when one was let in all the same.
	lastIn time.Time
}

// networks are those that a source counts for, itself first.
func networks(source netip.Prefix) []netip.Prefix {
	all := []netip.Prefix{source}
	for _, w := range wide {
		if source.Addr().Is6() && w.bits < source.Bits() {
			network, _ := source.Addr().Prefix(w.bits) // it has that many
			all = append(all, network)
		}
	}
	return all
}

// bounds are the penalty that a network is barred from, and the largest.
func (l *ledger) bounds(network netip.Prefix) (least, most time.Duration) {
	least = l.penalties.Min
	for _, w := range wide {
		if network.Addr().Is6() && network.Bits() == w.bits {
			least *= time.Duration(w.times)
		}
	}
	return least, least - l.penalties.Min + l.penalties.Max
}

// left is what is left of a penalty. However the clock jumps, that is no more than
// the largest.
func (l *ledger) left(network netip.Prefix, e *entry, now time.Time) time.Duration {
	_, most := l.bounds(network)
	if e.until.Sub(now) > most {
		e.until = now.Add(most)
	}
	return max(e.until.Sub(now), 0)
}

// charge adds to the penalty of a source and of the networks around it, and reports
// whether one of them is barred for that.
func (l *ledger) charge(source netip.Prefix, amount time.Duration, now time.Time) (barred bool) {
	for _, network := range networks(source) {
		e := l.entries[network]
		if e == nil {
			l.makeRoom(now)
			e = &entry{}
			l.entries[network] = e
		}
		left := l.left(network, e, now)
		least, most := l.bounds(network)
		if left == 0 {
			*e = entry{}
		}
		left = min(left+amount, most)
		e.until = now.Add(left)
		if left >= least && !e.barred {
			// The one that is let in comes after a pause, too.
			e.barred, e.lastIn, barred = true, now, true
		}
	}
	return barred
}

// barring returns the last of the networks that is barred, and nil where none is.
func (l *ledger) barring(all []netip.Prefix, now time.Time) (*entry, netip.Prefix) {
	for _, network := range slices.Backward(all) {
		if e := l.entries[network]; e != nil && e.barred && l.left(network, e, now) > 0 {
			return e, network
		}
	}
	return nil, netip.Prefix{}
}

// makeRoom keeps the entries below their bound. A quarter goes at once, or each
// failure would cost a look at all of them: those that nothing is left of, and then
// the least.
func (l *ledger) makeRoom(now time.Time) {
	if len(l.entries) < l.penalties.MaxSources {
		return
	}
	type old struct {
		network netip.Prefix
		left    time.Duration
	}
	all := make([]old, 0, len(l.entries))
	for network, e := range l.entries {
		if left := l.left(network, e, now); left > 0 {
			all = append(all, old{network, left})
		} else {
			delete(l.entries, network)
		}
	}
	over := len(all) - l.penalties.MaxSources*3/4
	if over <= 0 {
		return
	}
	slices.SortFunc(all, func(a, b old) int { return cmp.Compare(a.left, b.left) })
	for _, o := range all[:over] {
		delete(l.entries, o.network)
	}
}
