package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postern/internal/durable"
)

const (
	// reserve is the room that is kept on the disk behind the last record, for
	// those that end what has begun: a thousand sessions' worth.
	reserve = 1 << 20
	// ahead is how much room is taken at once beside the reserve. A full disk is
	// noticed that many bytes of records late.
	ahead = 64 << 10
	// defaultFileSize is the size at which a file is closed before its day is
	// over: one that is read in a fraction of a second.
	defaultFileSize = 64 << 20
)

// link is a place in the chain: the number of a record and its hash.
type link struct {
	number uint64
	hash   [sha256.Size]byte
}

// store is the folder of a trail. The trail's lock guards all of it but sync,
// which many wait for at once.
type store struct {
	dir      string
	fileSize int64
	file     *os.File
	day      string
	// size is where the file's last record ends, and held up to where the disk
	// has room for it.
	size, held int64
	last       link
	// signed is the last record under a signature, and signedAt its time.
	signed   uint64
	signedAt time.Time

	// syncing is held by the one of those who wait that syncs for all.
	syncing sync.Mutex
	synced  uint64
	written struct {
		sync.Mutex
		file   *os.File
		number uint64
	}
}

// next is the number of the record that comes next.
func (s *store) next() uint64 { return s.last.number + 1 }

// append adds a record to the file. When it returns an error the file is as it
// was.
func (s *store) append(line []byte, c care) error {
	if c != closing {
		if err := s.makeRoom(int64(len(line))); err != nil {
			return err
		}
	}
	if n, err := s.file.WriteAt(line, s.size); err != nil {
		return errors.Join(fmt.Errorf("wrote %d of %d bytes: %w", n, len(line), err), s.file.Truncate(s.size))
	}
	s.size += int64(len(line))
	s.last = link{s.next(), hashOf(line)}
	s.wrote()
	return nil
}

// wrote tells those who wait for the disk what the last record is.
func (s *store) wrote() {
	s.written.Lock()
	defer s.written.Unlock()
	s.written.file, s.written.number = s.file, s.last.number
}

// hashOf is the hash of a record, without the line feed behind it.
func hashOf(line []byte) [sha256.Size]byte { return sha256.Sum256(line[:len(line)-1]) }

// makeRoom has the disk hold room for a record and for the reserve behind it. A
// file system that cannot promise room promises none.
func (s *store) makeRoom(length int64) error {
	end := s.size + length + reserve
	if end <= s.held {
		return nil
	}
	err := unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, s.size, length+reserve+ahead)
	switch {
	case err == nil:
		s.held = end + ahead
	case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS):
		s.held = end
	default:
		return fmt.Errorf("hold room on the disk for records: %w", err)
	}
	return nil
}

// sync returns once a record and all before it are on the disk. Of many who
// wait, one syncs for all.
func (s *store) sync(number uint64) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.synced >= number {
		return nil
	}
	s.written.Lock()
	file, until := s.written.file, s.written.number
	s.written.Unlock()
	if err := unix.Fdatasync(int(file.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", file.Name(), err)
	}
	s.synced = until
	return nil
}

// begin opens the file that the next record goes to. The one before it is on
// the disk, and stays where the disk has no room for another with its reserve.
func (s *store) begin(day string) error {
	name := filepath.Join(s.dir, fileName(s.next(), day))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	next := &store{dir: s.dir, file: f}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		err = next.makeRoom(0)
	}
	if err == nil {
		err = durable.SyncFolder(s.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(name))
	}
	s.file, s.day, s.size, s.held = f, day, 0, next.held
	return nil
}

// leave closes the file that other gateways go on with.
func (s *store) leave() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	err := errors.Join(s.file.Sync(), s.file.Close())
	s.synced = s.last.number
	return err
}

// finish closes a file of the size, and gives back the room that it did not need.
func (s *store) finish(f *os.File, size int64) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	err := errors.Join(f.Truncate(size), f.Sync(), f.Close())
	s.synced = s.last.number
	return err
}
