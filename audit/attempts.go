package audit

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"time"
)

// Attempts are those that nobody was let in for.
type Attempts struct {
	Total int64 `json:"total"`
	// Sources is how many were told apart.
	Sources int `json:"sources"`
	// Top are the sources with the most attempts.
	Top []Source `json:"top"`
}

// Source is where attempts came from.
type Source struct {
	// Source is an address or a network; ::/0 is several.
	Source   string    `json:"source"`
	Attempts int64     `json:"attempts"`
	Last     time.Time `json:"last"`
	// Kinds counts them by what was refused, and why.
	Kinds map[string]int64 `json:"kinds"`
}

const (
	// shownSources is how many are told; a hundred fit no page.
	shownSources = 10
	// countedKinds bounds the kinds of one source: there are not that many
	// reasons.
	countedKinds = 50
)

// attemptCounts counts attempts by their sources, of which it holds no more than
// the trail does in a minute.
type attemptCounts struct {
	total   int64
	sources map[netip.Prefix]*Source
}

func newAttemptCounts() *attemptCounts {
	return &attemptCounts{sources: map[netip.Prefix]*Source{}}
}

// folded counts what the trail counted, if it was in a minute that is asked for: the
// record may come much later.
func (a *attemptCounts) folded(r Record, asked func(time.Time) bool) {
	var folded struct {
		Source netip.Prefix
		Since  time.Time
		Kinds  []string
		Times  []int64
	}
	if json.Unmarshal(r.Line, &folded) != nil || !asked(folded.Since) {
		return
	}
	for i, kind := range folded.Kinds[:min(len(folded.Kinds), len(folded.Times))] {
		a.add(folded.Source, kind, folded.Times[i], folded.Since)
	}
}

func (a *attemptCounts) add(source netip.Prefix, kind string, times int64, at time.Time) {
	a.total += times
	if a.sources[source] == nil && len(a.sources) >= foldSources {
		source = elsewhere
	}
	s := a.sources[source]
	if s == nil {
		s = &Source{Source: networkName(source), Kinds: map[string]int64{}}
		a.sources[source] = s
	}
	s.Attempts += times
	if at.After(s.Last) {
		s.Last = at
	}
	if _, known := s.Kinds[kind]; known || len(s.Kinds) < countedKinds {
		s.Kinds[kind] += times
	}
}

func (a *attemptCounts) result() *Attempts {
	all := Attempts{Total: a.total, Sources: len(a.sources), Top: []Source{}}
	for _, s := range a.sources {
		all.Top = append(all.Top, *s)
	}
	slices.SortFunc(all.Top, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(a.Source, b.Source))
	})
	all.Top = all.Top[:min(len(all.Top), shownSources)]
	return &all
}
