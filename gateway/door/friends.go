package door

import (
	"cmp"
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
)

// friends are the sources that clients signed in from, and when they did last. Their
// owner locks.
type friends struct {
	seen map[netip.Prefix]time.Time
}

func (f *friends) knows(source netip.Prefix, now time.Time) bool {
	at, known := f.seen[source]
	return known && now.Sub(at) < friendTime
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
