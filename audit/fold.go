package audit

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// What is recorded one by one of the attempts that come to nothing, in each
// minute: of one source, and of all. What comes beside that is counted, so that a
// million attempts are a few records. A person who mistypes and a client with many
// keys stay below it.
const (
	foldWindow    = time.Minute
	foldPerSource = 60
	foldInAll     = 600
	// foldSources bounds the memory: what comes from more sources than this in
	// one minute is counted together.
	foldSources = 10_000
	// foldRecords is how many sources are told apart in the records of a
	// minute.
	foldRecords = 50
)

// elsewhere stands for the sources that are too many to be told apart.
var elsewhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

// folds counts the attempts of the minute. The trail's lock guards it.
type folds struct {
	since   time.Time
	all     int
	sources map[netip.Prefix]*attempts
}

// attempts are those of one source: how many were recorded one by one, and how
// many of each kind were not.
type attempts struct {
	recorded int
	folded   map[string]int
}

// sourceOf is the network that an address counts for: itself, or for IPv6 the
// network that one subscriber has.
func sourceOf(address string) netip.Prefix {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return elsewhere
	}
	addr, bits := peer.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return elsewhere
	}
	return network
}

// folds reports whether an attempt of a kind is to be counted only.
func (f *folds) folds(address, kind string) bool {
	source := sourceOf(address)
	seen, known := f.sources[source]
	if !known && len(f.sources) >= foldSources {
		source = elsewhere
		seen, known = f.sources[source]
	}
	if !known {
		seen = &attempts{folded: map[string]int{}}
		f.sources[source] = seen
	}
	if seen.recorded < foldPerSource && f.all < foldInAll {
		seen.recorded++
		f.all++
		return false
	}
	seen.folded[kind]++
	return true
}

// over reports whether the minute is.
func (f *folds) over(now time.Time) bool {
	age := now.Sub(f.since)
	return age >= foldWindow || age < 0
}

// attempt records an attempt that came to nothing, or counts it.
func (t *Trail) attempt(c Connection, event, code string, fields func(*zerolog.Event)) error {
	if t.store == nil {
		return t.record(zerolog.WarnLevel, event, loose, fields)
	}
	folded, err := t.counts(c.Address, attemptKind(event, code))
	if folded || err != nil {
		return err
	}
	return t.record(zerolog.WarnLevel, event, loose, fields)
}

// counts reports whether an attempt of a kind was only counted.
func (t *Trail) counts(address, kind string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	leave, err := t.enter()
	if err == nil {
		err = t.unfold()
		leave()
	}
	return t.folds.folds(address, kind), err
}

// attemptKind names attempts of one kind.
func attemptKind(event, code string) string {
	if code == "" {
		return event
	}
	return event + ": " + code
}

// unfold records what was counted in a minute that is over. The caller holds the
// lock.
func (t *Trail) unfold() error {
	if t.folds.sources != nil && !t.folds.over(t.now()) {
		return nil
	}
	return t.recordFolds()
}

// recordFolds records what was counted, and begins to count anew: the busiest
// sources by themselves, and the rest together. The caller holds the lock.
func (t *Trail) recordFolds() error {
	past := t.folds
	for _, s := range past.sums() {
		_, err := t.keep(entry{zerolog.WarnLevel, foldedEvent, loose, func(e *zerolog.Event) {
			e.Str("source", s.source.String()).Int("sources", s.sources).Str("since", past.since.UTC().Format(timeFormat))
			counted(e, s.folded)
		}})
		if err != nil {
			return err
		}
		clear(s.folded) // or it would be told again where the next one fails
	}
	t.folds = folds{since: t.now(), sources: map[netip.Prefix]*attempts{}}
	return nil
}

// sum is what was counted of one source, or of several together.
type sum struct {
	source  netip.Prefix
	sources int
	folded  map[string]int
	total   int
}

// sums are the busiest sources in order, and one for all others.
func (f *folds) sums() []sum {
	var all []sum
	for source, seen := range f.sources {
		s := sum{source: source, sources: 1, folded: seen.folded}
		for _, times := range seen.folded {
			s.total += times
		}
		if s.total > 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b sum) int {
		return cmp.Or(cmp.Compare(b.total, a.total), a.source.Compare(b.source))
	})
	if len(all) <= foldRecords {
		return all
	}
	rest := sum{source: elsewhere, folded: map[string]int{}}
	for _, s := range all[foldRecords:] {
		rest.sources++
		for kind, times := range s.folded {
			rest.folded[kind] += times
		}
	}
	return append(all[:foldRecords], rest)
}

// foldedEvent is the name of the record that counts attempts.
const foldedEvent = "attempts folded"
