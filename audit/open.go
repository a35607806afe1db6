package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// Options says where a trail is kept and for how long.
type Options struct {
	// Dir is the folder. It is made where it is missing.
	Dir string
	// Prints gets a copy of each record; a copy that fails is lost.
	Prints io.Writer
	// Now is the clock.
	Now func() time.Time
	// Keep is how long records are kept.
	Keep Keep
	// FileSize is the size in bytes at which a file is closed; zero is 64 MiB.
	FileSize int64
}

// ErrInUse is a trail that somebody else writes.
var ErrInUse = errors.New("another gateway writes this trail")

// Open returns the trail in a folder, and goes on with it where there is one. A
// line that a crash left unfinished is cut off. The caller closes it.
func Open(o Options) (*Trail, error) {
	if err := os.Mkdir(o.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	lock, err := lockFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	t, err := continueTrail(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("audit trail in %s: %w", o.Dir, err), lock.Close())
	}
	t.keeper.lock = lock
	return t, nil
}

// Begun reports whether a folder holds a trail. Commands leave notes there before
// the first gateway begins one.
func Begun(dir string) bool {
	files, err := listFiles(dir)
	return err == nil && len(files) > 0
}

// lockFolder takes the trail for this process. The lock ends with it.
func lockFolder(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s: %w; end it, or give this one a state folder of its own", dir, ErrInUse)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func continueTrail(o Options) (*Trail, error) {
	key, err := signingKey(o.Dir)
	if err != nil {
		return nil, err
	}
	t := New(o.Prints, o.Now)
	t.store = &store{dir: o.Dir, fileSize: o.FileSize}
	if o.FileSize == 0 {
		t.store.fileSize = defaultFileSize
	}
	t.keeper = &keeper{dir: o.Dir, key: key, keep: o.Keep}
	cut, err := t.store.resume()
	if err != nil {
		return nil, err
	}
	if err := t.firstFile(); err != nil {
		return nil, err
	}
	if cut > 0 {
		err = t.repaired(cut)
	}
	return t, err
}

// resume finds the last record, and returns how many bytes of an unfinished one
// it cut off. The last file goes on where it is raw.
func (s *store) resume() (cut int64, err error) {
	files, err := listFiles(s.dir)
	if err != nil || len(files) == 0 {
		return 0, err
	}
	last := files[len(files)-1]
	if !last.compressed {
		if cut, err = cutUnfinished(last.path); err != nil {
			return 0, err
		}
	}
	for i := len(files) - 1; i >= 0; i-- {
		found, err := lastOf(files[i])
		if err != nil {
			return 0, err
		}
		if found.number != 0 {
			s.last = found
			break
		}
	}
	if last.compressed {
		return cut, nil
	}
	s.file, err = os.OpenFile(last.path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	s.day, s.size = last.day, info.Size()
	s.written.file, s.written.number, s.synced = s.file, s.last.number, s.last.number
	return cut, nil
}

// cutUnfinished takes off what stands behind the last line feed.
func cutUnfinished(path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	whole, buffer := info.Size(), make([]byte, 64<<10)
	for whole > 0 {
		from := max(whole-int64(len(buffer)), 0)
		piece := buffer[:whole-from]
		if _, err := f.ReadAt(piece, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(piece, '\n'); i >= 0 {
			whole = from + int64(i) + 1
			break
		}
		whole = from
	}
	if whole == info.Size() {
		return 0, nil
	}
	return info.Size() - whole, errors.Join(f.Truncate(whole), f.Sync())
}

// lastOf returns the last record of a file, or the zero link where it has none.
func lastOf(f file) (link, error) {
	r, err := f.open()
	if err != nil {
		return link{}, err
	}
	defer r.close()
	var last link
	for {
		line, err := r.line()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, fmt.Errorf("%s: %w", f.path, err)
		}
		number, _, ok := linkOf(line)
		if !ok {
			return last, fmt.Errorf("%s: a line is no record of a trail; see postern audit verify", f.path)
		}
		last = link{number, hashOf(line)}
	}
}

// keep writes a record into the store, in the file of its day.
func (t *Trail) keep(level zerolog.Level, event string, c care, fields func(*zerolog.Event)) (uint64, error) {
	if t.store.full(t.day()) {
		// A disk that has no room for a new file may have some in this one.
		if err := t.nextFile(); err != nil && c != closing {
			return 0, err
		}
	}
	if err := t.chain(level, event, c, fields); err != nil {
		return 0, err
	}
	if t.store.unsigned(t.now()) {
		// The next record tries again.
		_ = t.checkpoint()
	}
	return t.store.last.number, nil
}

// chain appends a record to the chain.
func (t *Trail) chain(level zerolog.Level, event string, c care, fields func(*zerolog.Event)) error {
	s := t.store
	line := t.build(level, event, func(e *zerolog.Event) {
		e.Uint64("number", s.next()).Str("before", encode(s.last.hash))
	}, fields)
	if err := s.append(line, c); err != nil {
		return err
	}
	if t.prints != nil {
		_ = t.print(line)
	}
	return nil
}

func (t *Trail) day() string { return t.now().UTC().Format(time.DateOnly) }

// full reports whether the next record belongs into another file.
func (s *store) full(day string) bool { return s.day != day || s.size >= s.fileSize }

// firstFile begins a file where there is none to go on with, and signs what the
// trail goes on from.
func (t *Trail) firstFile() error {
	if t.store.file == nil {
		if err := t.store.begin(t.day()); err != nil {
			return err
		}
	}
	if err := t.checkpoint(); err != nil {
		return err
	}
	return t.tidy()
}

// nextFile closes the file and begins another.
func (t *Trail) nextFile() error {
	s := t.store
	file, size := s.file, s.size
	if err := s.begin(t.day()); err != nil {
		return err
	}
	if err := errors.Join(s.finish(file, size), t.checkpoint()); err != nil {
		return err
	}
	return t.tidy()
}

// repaired records that an unfinished line was cut off.
func (t *Trail) repaired(bytes int64) error {
	return t.record(zerolog.WarnLevel, "trail repaired", binding, func(e *zerolog.Event) {
		e.Int64("bytes", bytes)
	})
}

// Close signs what is there, and lets go of the trail.
func (t *Trail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.store == nil {
		return nil
	}
	t.folds.since = time.Time{} // what was counted is recorded now
	err := errors.Join(t.unfold(), t.checkpoint(), t.store.finish(t.store.file, t.store.size))
	t.keeper.work.Wait()
	return errors.Join(err, t.keeper.lock.Close())
}
