package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"postern/internal/durable"
)

// Keep is how long the files of a trail are kept: until one of the limits is
// reached. Zero is no limit.
type Keep struct {
	Age time.Duration
	// Size is in bytes on the disk, of all files.
	Size int64
}

// keeper looks after the files of a trail that are closed.
type keeper struct {
	dir  string
	key  ed25519.PrivateKey
	keep Keep
	lock *os.File
	// work is what runs beside the trail: at most one at a time.
	work    sync.WaitGroup
	working sync.Mutex
}

// tidy removes the files that are kept long enough, and has the closed ones
// compressed. The trail says what it forgets before it does. Of gateways that share a
// trail the newest does so.
func (t *Trail) tidy() error {
	if t.shared != nil && !t.shared.turn.newest() {
		return nil
	}
	files, err := listFiles(t.keeper.dir)
	if err != nil {
		return err
	}
	old := t.keeper.keep.outdated(files, t.now())
	if len(old) > 0 {
		first := files[len(old)].first
		err := t.chain(entry{zerolog.InfoLevel, shortenedEvent, binding, func(e *zerolog.Event) {
			e.Uint64("first", first).Int("files", len(old))
		}})
		if err != nil {
			return err
		}
	}
	number := t.store.last.number
	var turn *turn
	if t.shared != nil {
		turn = t.shared.turn
	}
	t.keeper.work.Go(func() {
		t.keeper.working.Lock()
		defer t.keeper.working.Unlock()
		if turn != nil {
			if turn.lock(tidying) != nil {
				return
			}
			defer func() { _ = turn.unlock(tidying) }() // it ends with the process at the latest
		}
		// What fails here is tried again when the next file is closed.
		if t.store.sync(number) != nil {
			return
		}
		for _, f := range old {
			// It may have been compressed since.
			raw := strings.TrimSuffix(f.path, zstdEnding)
			_, _ = os.Remove(raw), os.Remove(raw+zstdEnding)
		}
		for _, f := range files[len(old):max(len(files)-1, len(old))] {
			if f.compressed {
				_ = f.reindex()
			} else {
				_ = compress(f.path)
			}
		}
		_ = removeLeftovers(t.keeper.dir)
	})
	return nil
}

// outdated returns the files, from the oldest on, that are no longer kept. The
// last one always is.
func (k Keep) outdated(files []file, now time.Time) []file {
	now = steady(files, now)
	var total int64
	for _, f := range files {
		total += f.size
	}
	for i, f := range files {
		last := i == len(files)-1
		began, err := time.Parse(time.DateOnly, f.day)
		// A day is over when its last moment is.
		aged := err == nil && k.Age > 0 && now.Sub(began.AddDate(0, 0, 1)) > k.Age
		if last || !aged && (k.Size == 0 || total <= k.Size) {
			return files[:i]
		}
		total -= f.size
	}
	return nil
}

// steady is the time by which files are old: now, or the end of the last day
// before today's that has records, if that is earlier. So a clock that jumps ahead
// for a moment, or is wrong when the host starts, makes nothing old; one that is
// right makes it old a day later.
func steady(files []file, now time.Time) time.Time {
	today := now.UTC().Format(time.DateOnly)
	for _, f := range slices.Backward(files) {
		if f.day == today {
			continue
		}
		if day, err := time.Parse(time.DateOnly, f.day); err == nil && day.AddDate(0, 0, 1).Before(now) {
			return day.AddDate(0, 0, 1)
		}
		break
	}
	return now
}

// compress replaces a closed file by a compressed one and its index. Whoever reads
// the folder finds one of the files, whole.
func compress(path string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	var x indexer
	var table []byte
	err = writeWhole(path+zstdEnding, func(to io.Writer) (err error) {
		table, err = zip(to, from, func(lines []byte) { x.add(termsOf(lines)) })
		return err
	})
	if err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	return errors.Join(writeIndex(path, x.text(table)), durable.SyncFolder(filepath.Dir(path)), os.Remove(path))
}

// removeLeftovers removes what a crash left behind: files that are not finished,
// raw ones beside their compressed form, and indexes of files that are gone.
func removeLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, entry := range entries {
		names[entry.Name()] = true
	}
	var failed error
	for name := range names {
		whole, unfinished := strings.CutSuffix(name, temporary)
		if fileNames.MatchString(whole) && (unfinished || superfluous(name, names)) {
			failed = errors.Join(failed, os.Remove(filepath.Join(dir, name)))
		}
	}
	return failed
}

// superfluous reports whether a file of a trail has no use beside the others.
func superfluous(name string, names map[string]bool) bool {
	if stem, ok := strings.CutSuffix(name, indexEnding); ok {
		return !names[stem+rawEnding+zstdEnding]
	}
	return names[name+zstdEnding]
}
