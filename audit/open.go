package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	// Offered are the files of an [Offer] by the gateway that writes this trail,
	// to share it; the trail closes them.
	Offered []*os.File
}

// ErrInUse is a trail that somebody else writes.
var ErrInUse = errors.New("another gateway writes this trail")

// Open returns the trail in a folder, and goes on with it where there is one. A
// line that a crash left unfinished is cut off. The caller closes it.
func Open(o Options) (*Trail, error) {
	if err := os.Mkdir(o.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	lock, err := o.lock()
	if err != nil {
		return nil, err
	}
	t, err := continueTrail(o, lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("audit trail in %s: %w", o.Dir, err), lock.Close())
	}
	return t, nil
}

// lock takes the folder for this process, or for those that share it.
func (o Options) lock() (*os.File, error) {
	if o.Offered == nil {
		return lockFolder(o.Dir)
	}
	return takeFolder(o.Dir, o.Offered)
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
	if err := take(lock); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// take locks a file for this process. The file that records go to is locked too, but
// so that others who share the trail can do the same: people remove a lock that seems
// to be left over.
func take(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w; end it, or give this one a state folder of its own", filepath.Dir(f.Name()), ErrInUse)
	}
	return err
}

func continueTrail(o Options, lock *os.File) (*Trail, error) {
	key, err := signingKey(o.Dir)
	if err != nil {
		return nil, err
	}
	t := New(o.Prints, o.Now)
	t.store = &store{dir: o.Dir, fileSize: o.FileSize}
	if o.FileSize == 0 {
		t.store.fileSize = defaultFileSize
	}
	t.keeper = &keeper{dir: o.Dir, key: key, keep: o.Keep, lock: lock}
	begin := t.goOn
	if o.Offered != nil {
		begin = func() error { return t.join(o.Offered) }
	}
	if err := begin(); err != nil {
		t.keeper.work.Wait()
		if t.store.file != nil {
			err = errors.Join(err, t.store.file.Close())
		}
		return nil, err
	}
	return t, nil
}

// goOn brings the trail to where records can follow.
func (t *Trail) goOn() error {
	files, err := listFiles(t.store.dir)
	if err != nil {
		return err
	}
	cut, err := t.store.resume(files, take)
	if err != nil {
		return err
	}
	lost, err := unended(t.keeper.dir)
	if err != nil {
		return err
	}
	if err := t.begin(cut); err != nil {
		return err
	}
	return t.endLost(lost)
}

// begin writes the first record of this opening, and how many bytes were cut off.
func (t *Trail) begin(cut int64) error {
	t.began = t.store.next()
	if t.shared != nil {
		if err := t.shared.turn.enter(t.began); err != nil {
			return err
		}
	}
	if err := t.firstFile(); err != nil {
		return err
	}
	if cut > 0 {
		return t.chain(repaired(cut))
	}
	return nil
}

// resume finds the last record of some files, and returns how many bytes of an
// unfinished one it cut off. The last file goes on where it is raw, unless check is
// against it.
func (s *store) resume(files []file, check func(*os.File) error) (cut int64, err error) {
	if len(files) == 0 {
		return 0, nil
	}
	last := files[len(files)-1]
	if !last.compressed {
		if cut, err = s.reopen(last, check); err != nil {
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
	s.wrote()
	return cut, nil
}

// reopen opens the last file to go on with it, and returns how many bytes of an
// unfinished record it cut off.
func (s *store) reopen(last file, check func(*os.File) error) (cut int64, err error) {
	s.file, err = os.OpenFile(last.path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	if err := check(s.file); err != nil {
		return 0, err
	}
	if err := unix.Flock(int(s.file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return 0, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	whole, err := unfinished(s.file, info.Size())
	if err != nil {
		return 0, err
	}
	s.day, s.size = last.day, whole
	if whole == info.Size() {
		return 0, nil
	}
	return info.Size() - whole, errors.Join(s.file.Truncate(whole), s.file.Sync())
}

// unfinished returns the length of a file of a size without what stands behind its
// last line feed.
func unfinished(f *os.File, size int64) (whole int64, err error) {
	buffer := make([]byte, 64<<10)
	for whole = size; whole > 0; {
		from := max(whole-int64(len(buffer)), 0)
		piece := buffer[:whole-from]
		if _, err := f.ReadAt(piece, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(piece, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		whole = from
	}
	return 0, nil
}

// lastOf returns the last record of a file, or the zero link where it has none.
func lastOf(f file) (link, error) {
	p, err := f.pages()
	if err != nil {
		return link{}, err
	}
	defer p.close()
	for page := range slices.Backward(upTo(0, p.count())) {
		lines, _, err := p.read(page)
		if err != nil {
			return link{}, fmt.Errorf("%s: %w", f.path, err)
		}
		if len(lines) == 0 {
			continue
		}
		line := lines[bytes.LastIndexByte(lines[:len(lines)-1], '\n')+1:]
		number, _, ok := linkOf(line)
		if !ok {
			return link{}, fmt.Errorf("%s: the last line is no record of a trail; see postern audit verify", f.path)
		}
		return link{number, hashOf(line)}, nil
	}
	return link{}, nil
}

// keep writes a record into the store, in the file of its day.
func (t *Trail) keep(r entry) (uint64, error) {
	if err := t.add(r); err != nil {
		t.missed(r, err)
		return 0, err
	}
	if t.store.unsigned(t.now()) {
		// The next record tries again.
		_ = t.checkpoint()
	}
	return t.store.last.number, nil
}

// add writes a record behind what an outage owes. A disk that has no room for that,
// or for a new file, may have some for a record that ends something.
func (t *Trail) add(r entry) error {
	if err := t.ready(); err != nil && r.care != closing {
		return err
	}
	return t.chain(r)
}

// ready begins a new file where the record belongs into one, and writes what an
// outage owes.
func (t *Trail) ready() error {
	if t.store.full(t.day()) {
		if err := t.nextFile(); err != nil {
			return err
		}
	}
	return t.resume()
}

// chain appends a record to the chain.
func (t *Trail) chain(r entry) error {
	s := t.store
	line := t.build(r.level, r.event, func(e *zerolog.Event) {
		e.Uint64("number", s.next()).Str("before", encode(s.last.hash))
	}, r.fields)
	if err := s.append(line, r.care); err != nil {
		return err
	}
	t.grew()
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
	} else if err := t.store.makeRoom(0); err != nil {
		return err
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
	if err := t.announceFile(); err != nil {
		return err
	}
	if err := s.begin(t.day()); err != nil {
		return err
	}
	if err := errors.Join(s.finish(file, size), t.checkpoint()); err != nil {
		return err
	}
	return t.tidy()
}

// repaired tells that an unfinished line was cut off.
func repaired(bytes int64) entry {
	return entry{zerolog.WarnLevel, "trail repaired", loose, func(e *zerolog.Event) {
		e.Int64("bytes", bytes)
	}}
}

// Close signs what is there, and lets go of the trail.
func (t *Trail) Close() error {
	if t.store == nil {
		return nil
	}
	t.looking.end()
	t.mu.Lock()
	defer t.mu.Unlock()
	leave, err := t.enter()
	if err == nil {
		err = errors.Join(t.recordFolds(), t.resume(), t.checkpoint(), t.finish())
		leave()
	}
	t.keeper.work.Wait()
	if t.shared != nil {
		err = errors.Join(err, t.shared.turn.file.Close())
	}
	return errors.Join(err, t.keeper.lock.Close())
}

// finish closes the file. Where other gateways go on with it, it keeps its room.
func (t *Trail) finish() error {
	if len(t.beside()) > 0 {
		return errors.Join(t.store.leave(), t.shared.turn.strike(t.began))
	}
	return t.store.finish(t.store.file, t.store.size)
}
