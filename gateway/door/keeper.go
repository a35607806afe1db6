package door

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postern/internal/durable"
)

// savePause is the least time between two writes of the file, however many sources
// fail meanwhile.
const savePause = 10 * time.Second

// Keeper keeps what a door knows in the gateway's state. Its methods may be called at
// once.
type Keeper struct {
	door   *Door
	folder string

	mu sync.Mutex
	// saved is the count of changes that are in the file, and at when it was
	// written.
	saved uint64
	at    time.Time
	// left says that the file is another gateway's.
	left bool
}

// Keep has a door take up what is in a state folder. Where that cannot be read, the
// door begins without it, and the error says why; the keeper is there all the same.
func Keep(d *Door, folder string) (*Keeper, error) {
	s, err := Read(folder, d.config.Now())
	d.restore(s)
	return &Keeper{door: d, folder: folder}, err
}

// Work saves what has changed, unless that was done a moment ago. What fails is tried
// again by the next call.
func (k *Keeper) Work() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if since := k.door.config.Now().Sub(k.at); since >= 0 && since < savePause {
		return nil
	}
	return k.save()
}

// Save saves what has changed.
func (k *Keeper) Save() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.save()
}

// Leave saves what has changed, and leaves the file to another gateway: nothing is saved
// any more until [Keeper.Return].
func (k *Keeper) Leave() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.save()
	k.left = true
	return err
}

// Return saves again.
func (k *Keeper) Return() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = false
}

// save is for who holds the lock.
func (k *Keeper) save() error {
	if k.left || k.door.changed() == k.saved {
		return nil
	}
	s, changes := k.door.state()
	if err := s.write(k.folder); err != nil {
		return err
	}
	k.saved, k.at = changes, s.Saved
	return nil
}

// Lift is [Door.Lift] for a state folder whose gateway does not run, which the
// caller sees to. It counts those that are barred.
func Lift(folder string, network netip.Prefix, now time.Time) (lifted int, err error) {
	s, err := Read(folder, now)
	if err != nil {
		return 0, err
	}
	before := len(s.Bars)
	s.Bars = slices.DeleteFunc(s.Bars, func(b Bar) bool { return concerns(b.Network, network) })
	if lifted = before - len(s.Bars); lifted == 0 {
		return 0, nil
	}
	s.Saved = now.UTC()
	return lifted, s.write(folder)
}

// concerns reports whether a network's penalty is lifted with that of another, or of
// all where the latter is not valid.
func concerns(penalised, network netip.Prefix) bool {
	return !network.IsValid() || penalised.Overlaps(network)
}

// write puts the state into its folder.
func (s State) write(folder string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := durable.Write(filepath.Join(folder, stateName), text, 0o600); err != nil {
		return fmt.Errorf("save penalties: %w", err)
	}
	return nil
}
