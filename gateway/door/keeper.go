package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"postern/internal/durable"
)

// savePause is the least time between two writes of the file, however many sources
// fail meanwhile.
const savePause = 10 * time.Second

// Keeper keeps what a door knows in the gateway's state, and does what commands ask
// for there. It must not be used by two goroutines at once.
type Keeper struct {
	door   *Door
	folder string
	// saved is the count of changes that are in the file, and at when it was
	// written.
	saved uint64
	at    time.Time
}

// Keep has a door take up what is in a state folder. Where that cannot be read, the
// door begins without it, and the error says why; the keeper is there all the same.
func Keep(d *Door, folder string) (*Keeper, error) {
	s, err := Read(folder, d.config.Now())
	d.restore(s)
	return &Keeper{door: d, folder: folder}, err
}

// Work does what commands ask for, and saves what has changed unless that was done a
// moment ago. What fails is tried again by the next call.
func (k *Keeper) Work() error {
	done, err := k.obey()
	if since := k.door.config.Now().Sub(k.at); len(done) > 0 || since >= savePause || since < 0 {
		if saving := k.Save(); saving != nil {
			return errors.Join(err, saving)
		}
	}
	for _, path := range done { // not before what they ask for lasts
		err = errors.Join(err, durable.Remove(path))
	}
	return err
}

// Save saves what has changed.
func (k *Keeper) Save() error {
	if k.door.changed() == k.saved {
		return nil
	}
	s, changes := k.door.state()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := durable.Write(filepath.Join(k.folder, stateName), text, 0o600); err != nil {
		return fmt.Errorf("save penalties: %w", err)
	}
	k.saved, k.at = changes, s.Saved
	return nil
}
