package door

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config is what a door goes by. Zero numbers and durations stand for the defaults.
type Config struct {
	// Startups bounds the connections on their way in, of strangers and of
	// known sources each.
	Startups Startups
	// PerSource bounds those of one source.
	PerSource int
	// IPv4Bits and IPv6Bits are how many bits of an address make its source.
	IPv4Bits, IPv6Bits int
	Penalties          Penalties
	// Now is the clock, and Chance returns a number from 0 to below n; nil means
	// the system's.
	Now    func() time.Time
	Chance func(n int) int
}

// The defaults of a [Config].
const (
	DefaultPerSource = 40
	DefaultIPv4Bits  = 32
	DefaultIPv6Bits  = 64 // what one subscriber has at least
)

const (
	// placeTime is how long a connection of a known source has its place before it
	// may have to give way: longer than signing in takes.
	placeTime = 2 * time.Second
	// narrowPause is between two connections of a barred source that nobody
	// knows.
	narrowPause = 10 * time.Second
)

// Refusal says why a connection is not served.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// Door counts those that are on their way in, and what sources have failed at. Its
// methods may be called at once.
type Door struct {
	config Config

	mu sync.Mutex
	// strangers and known are how many are on their way in, and awaited those that a
	// proxy has said nothing of yet.
	strangers, known, awaited int
	// inside are those of each source, the longest there first.
	inside map[netip.Prefix][]*Visit
	ledger ledger
	friends
	// changes counts what a restart should not forget.
	changes uint64
}

// New returns a door.
func New(config Config) *Door {
	config = config.withDefaults()
	return &Door{
		config: config, inside: map[netip.Prefix][]*Visit{},
		ledger:  ledger{penalties: config.Penalties, entries: map[netip.Prefix]*entry{}},
		friends: friends{seen: map[netip.Prefix]time.Time{}},
	}
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value *int
		or    int
	}{{&c.PerSource, DefaultPerSource}, {&c.IPv4Bits, DefaultIPv4Bits}, {&c.IPv6Bits, DefaultIPv6Bits}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if c.Startups == (Startups{}) {
		c.Startups = DefaultStartups()
	}
	c.Penalties = c.Penalties.withDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Chance == nil {
		c.Chance = rand.IntN
	}
	return c
}

// sourceOf is the network that an address counts for. What is no address is a
// source, too.
func (d *Door) sourceOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := d.config.IPv4Bits
	if addr.Is6() {
		bits = d.config.IPv6Bits
	}
	source, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return source
}

// Visit is a connection that is on its way in.
type Visit struct {
	door   *Door
	source netip.Prefix
	since  time.Time
	// known says that a client signed in from its source, and exempt that it has
	// no penalties.
	known, exempt bool
	over          bool
	// leave ends the connection.
	leave func()
}

// Knock asks for a connection from an address to be served. An error is a
// [Refusal]. Otherwise [Visit.End] must follow. leave is called, from another
// goroutine and at most once, when the connection must give way to another.
func (d *Door) Knock(from netip.Addr, leave func()) (*Visit, error) {
	return d.knock(&Visit{leave: leave}, from)
}

func (d *Door) knock(v *Visit, from netip.Addr) (*Visit, error) {
	v.door, v.source = d, d.sourceOf(from)
	out, err := d.admit(v, from.Unmap())
	if out != nil {
		out.leave()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// admit takes a visit in, and returns the one that gives way to it, if any.
func (d *Door) admit(v *Visit, from netip.Addr) (out *Visit, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v.since = d.config.Now()
	v.known = v.known || d.knows(v.source, v.since)
	v.exempt = v.exempt || d.config.Penalties.exempts(from)
	if out, err = d.place(v); err != nil {
		return nil, err
	}
	if out != nil {
		out.remove()
	}
	if n := *d.crowd(v); d.config.Startups.refuses(n, d.config.Chance) {
		return out, Refusal(fmt.Sprintf("%d connections are on their way in already", n))
	}
	*d.crowd(v)++
	d.inside[v.source] = append(d.inside[v.source], v)
	return out, nil
}

// crowd is the count that a visit belongs to.
func (d *Door) crowd(v *Visit) *int {
	if v.known {
		return &d.known
	}
	return &d.strangers
}

// place finds one among those of the visit's source, if need be that of another.
func (d *Door) place(v *Visit) (out *Visit, err error) {
	inside, places := d.inside[v.source], d.config.PerSource
	barred := d.barred(v)
	if barred != nil && !v.known {
		return nil, barred
	}
	if barred != nil {
		places = max(places/2, 1)
	}
	switch {
	case len(inside) < places:
		return nil, nil
	case v.known && v.since.Sub(inside[0].since).Abs() >= placeTime:
		return inside[0], nil
	case barred != nil:
		return nil, barred
	}
	return nil, Refusal(fmt.Sprintf("%d connections from %s are on their way in already", len(inside), v.source))
}

// barred says that the source of a visit is, unless it is the turn of one that
// nobody knows.
func (d *Door) barred(v *Visit) error {
	if v.exempt {
		return nil
	}
	suspects := networks(v.source)
	if v.known {
		suspects = suspects[:1] // what is around it did not fail from there
	}
	bar, network := d.ledger.barring(suspects, v.since)
	switch {
	case bar == nil:
		return nil
	case !v.known && v.since.Sub(bar.lastIn).Abs() >= narrowPause:
		bar.lastIn = v.since
		return nil
	}
	left := d.ledger.left(network, bar, v.since)
	return Refusal(fmt.Sprintf("%s is barred for %s more, for what failed from there", network, left.Truncate(time.Second)))
}

// End says how a visit ended. Only the first time counts.
func (v *Visit) End(o Outcome) {
	d := v.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.over && o != Proved {
		return
	}
	v.remove()
	now := d.config.Now()
	if o == Proved {
		if d.meet(v.source, now) {
			d.changes++
		}
		return
	}
	if amount := d.config.Penalties.of(o); amount > 0 && !v.exempt && d.ledger.charge(v.source, amount, now) {
		d.changes++
	}
}

// remove takes a visit off the counts. The caller holds the lock.
func (v *Visit) remove() {
	if v.over {
		return
	}
	v.over = true
	*v.door.crowd(v)--
	rest := slices.DeleteFunc(v.door.inside[v.source], func(other *Visit) bool { return other == v })
	if v.door.inside[v.source] = rest; len(rest) == 0 {
		delete(v.door.inside, v.source)
	}
}
