package door

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// friendTime is how long a source is known: longer than a client that comes
	// once a month stays away.
	friendTime = 35 * 24 * time.Hour
	// friendNews is after what time another visit of a known source is worth
	// being remembered.
	friendNews = 24 * time.Hour
	// maxFriends bounds them; those that were not seen for the longest are
	// forgotten first.
	maxFriends = 10_000
	// maxExpected is how many sources a network may have that is expected as a
	// whole. Strangers share wider ones.
	maxExpected = 256
)

// friends are the sources that clients signed in from, and when they did last, and
// those that they are expected from. Their owner locks.
type friends struct {
	seen     map[netip.Prefix]time.Time
	expected expected
}

func (f *friends) knows(source netip.Prefix, now time.Time) bool {
	at, known := f.seen[source]
	return known && now.Sub(at) < friendTime || f.expected.has(source)
}

// expected are networks, and how many bits they have.
type expected struct {
	networks map[netip.Prefix]struct{}
	bits     []int
}

func (e *expected) add(network netip.Prefix) {
	e.networks[network] = struct{}{}
	if !slices.Contains(e.bits, network.Bits()) {
		e.bits = append(e.bits, network.Bits())
	}
}

// has reports whether a source is in one of them.
func (e *expected) has(source netip.Prefix) bool {
	return slices.ContainsFunc(e.bits, func(bits int) bool {
		network, err := source.Addr().Prefix(bits)
		_, found := e.networks[network]
		return err == nil && found
	})
}

// Expect has the sources in these networks count as known ones from now on, instead
// of those in the networks before: they are where clients may come from. Networks of
// more than 256 sources do not count.
func (d *Door) Expect(networks iter.Seq[netip.Prefix]) {
	e := expected{networks: map[netip.Prefix]struct{}{}}
	for network := range networks {
		source := d.sourceOf(network.Addr())
		switch {
		case network.Bits() >= source.Bits():
			e.add(source)
		case 1<<min(source.Bits()-network.Bits(), 30) <= maxExpected:
			e.add(network.Masked())
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expected = e
}

// meet notes that a client signed in, and reports whether that is news.
func (f *friends) meet(source netip.Prefix, now time.Time) bool {
	at, known := f.seen[source]
	if known && now.Sub(at).Abs() < friendNews {
		return false
	}
	if !known && len(f.seen) >= maxFriends {
		f.forget()
	}
	f.seen[source] = now
	return true
}

// forget makes room, for more than one.
func (f *friends) forget() {
	oldest := slices.SortedFunc(maps.Keys(f.seen), func(a, b netip.Prefix) int {
		return cmp.Or(f.seen[a].Compare(f.seen[b]), a.Compare(b))
	})
	for _, source := range oldest[:len(oldest)/4] {
		delete(f.seen, source)
	}
}
