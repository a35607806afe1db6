package door

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// stateName is the file in the gateway's state.
const stateName = "door.json"

// maxSaved bounds the bars in the file: those with the most left.
const maxSaved = 10_000

// maxSeconds is more than any bar has, and a time that can be reckoned with.
const maxSeconds = 1e9

// State is what a restart must not forget.
type State struct {
	// Saved is when this was so.
	Saved time.Time `json:"saved"`
	Bars  []Bar     `json:"bars"`
	Known []Known   `json:"known"`
}

// Bar is one network that is barred, and for how many more seconds. That is no time
// of day: whatever a clock says, it comes to an end.
type Bar struct {
	Network netip.Prefix `json:"network"`
	Seconds float64      `json:"seconds"`
}

// Known is a source that a client signed in from, and when it did last.
type Known struct {
	Network netip.Prefix `json:"network"`
	Seen    time.Time    `json:"seen"`
}

// Read returns what the gateway of a state folder saved last, less the time that has
// gone by since. Where nothing was saved yet, that is nothing.
func Read(folder string, now time.Time) (State, error) {
	path := filepath.Join(folder, stateName)
	var s State
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", path, err)
	}
	gone := max(now.Sub(s.Saved), 0).Seconds()
	for i := range s.Bars {
		s.Bars[i].Seconds = min(s.Bars[i].Seconds-gone, maxSeconds)
	}
	s.Bars = slices.DeleteFunc(s.Bars, func(b Bar) bool { return b.Seconds <= 0 || !b.Network.IsValid() })
	for i := range s.Known {
		if s.Known[i].Seen.After(now) {
			s.Known[i].Seen = now
		}
	}
	return s, nil
}

// changed counts what there was to be saved.
func (d *Door) changed() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes
}

// state returns what is to be saved, and the count of changes that it stands for.
func (d *Door) state() (State, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.config.Now()
	s := State{Saved: now.UTC(), Bars: d.ledger.bars(now), Known: []Known{}}
	s.Bars = s.Bars[:min(len(s.Bars), maxSaved)]
	for network, seen := range d.seen {
		s.Known = append(s.Known, Known{network, seen.UTC()})
	}
	slices.SortFunc(s.Known, func(a, b Known) int { return a.Network.Compare(b.Network) })
	return s, d.changes
}

// Bars returns the networks that are barred at this moment, those with the most left
// first.
func (d *Door) Bars() []Bar {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.bars(d.config.Now())
}

func (l *ledger) bars(now time.Time) []Bar {
	all := []Bar{}
	for network, e := range l.entries {
		if left := l.left(network, e, now); e.barred && left > 0 {
			all = append(all, Bar{network, left.Seconds()})
		}
	}
	slices.SortFunc(all, func(a, b Bar) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), a.Network.Compare(b.Network))
	})
	return all
}

// restore takes up what a gateway before this one saved.
func (d *Door) restore(s State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.config.Now()
	for _, b := range s.Bars {
		if len(d.ledger.entries) < d.config.Penalties.MaxSources {
			e := &entry{barred: true, until: now.Add(time.Duration(b.Seconds * float64(time.Second))), lastIn: now}
			d.ledger.entries[b.Network] = e
			d.ledger.left(b.Network, e, now) // no more than the largest of today
		}
	}
	for _, k := range s.Known {
		if k.Network.IsValid() && len(d.seen) < maxFriends {
			d.seen[k.Network] = k.Seen
		}
	}
}

// Lift forgets every penalty that concerns a network: its own, those of the networks
// in it, and those of the ones around it; all of them where the network is not valid.
// It returns how many networks had one. That lasts once a [Keeper] has saved it.
func (d *Door) Lift(network netip.Prefix) (lifted int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.config.Now()
	for other, e := range d.ledger.entries {
		if !concerns(other, network) {
			continue
		}
		if d.ledger.left(other, e, now) > 0 {
			lifted++
		}
		delete(d.ledger.entries, other)
		d.changes++
	}
	return lifted
}
