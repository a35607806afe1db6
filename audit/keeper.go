package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
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
// compressed. The trail says what it forgets before it does.
func (t *Trail) tidy() error {
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
	t.keeper.work.Go(func() {
		t.keeper.working.Lock()
		defer t.keeper.working.Unlock()
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
			if !f.compressed {
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

// temporary marks a file that is not finished.
const temporary = ".tmp"

// compress replaces a closed file by a compressed one. Whoever reads the folder
// finds one of them, whole.
func compress(path string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	unfinished := path + zstdEnding + temporary
	to, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(zip(to, from), to.Sync(), to.Close())
	if err == nil {
		err = os.Rename(unfinished, path+zstdEnding)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("compress %s: %w", path, err), os.Remove(unfinished))
	}
	return errors.Join(durable.SyncFolder(filepath.Dir(path)), os.Remove(path))
}

func zip(to io.Writer, from io.Reader) error {
	z, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	_, err = io.Copy(z, from)
	return errors.Join(err, z.Close())
}

// removeLeftovers removes what a crash left behind: files that are not finished,
// and raw ones beside their compressed form.
func removeLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var failed error
	for _, entry := range entries {
		name := entry.Name()
		raw := strings.TrimSuffix(name, zstdEnding)
		switch {
		case strings.HasSuffix(name, zstdEnding+temporary):
			raw = name
		case raw == name || fileNames.FindStringSubmatch(name) == nil:
			continue
		}
		if err := os.Remove(filepath.Join(dir, raw)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
