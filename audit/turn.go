package audit

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// turn is how gateways that share a trail keep out of each other's way: a file in
// the trail's folder, parts of which they lock. Each has it open by itself, since
// such a lock is that of an open file (fcntl(2), open file description locks), and it
// ends with the process, however that ends.
type turn struct {
	file *os.File
	// self is this gateway's name among the others.
	self uint64
	// sheet is what the file said when this gateway last read or wrote it.
	sheet sheet
}

// sheet is what the file of turns says.
type sheet struct {
	// files counts how often somebody set out to begin another file of the trail.
	files uint64
	// gateways are those that write the trail, and those that did and of whose
	// end the trail does not tell yet, in the order in which they began.
	gateways []uint64
}

// The places in the file that are locked, beside those of the gateways themselves:
// each keeps the one at its number locked as long as it lives.
const (
	// writing is locked by the one that writes the trail or the sheet.
	writing = 0
	// tidying is locked by the one that compresses and removes files.
	tidying = math.MaxInt64 - 1
)

// maxSheet is far above what the numbers of some gateways take.
const maxSheet = 4 << 10

// lock locks a place in the file, and waits for that.
func (t *turn) lock(place uint64) error { return t.set(place, unix.F_WRLCK) }

func (t *turn) unlock(place uint64) error { return t.set(place, unix.F_UNLCK) }

func (t *turn) set(place uint64, kind int16) error {
	part := unix.Flock_t{Type: kind, Start: int64(place), Len: 1}
	if err := t.call(unix.F_OFD_SETLKW, &part); err != nil {
		return fmt.Errorf("share the trail by locks of %s: %w", t.file.Name(), err)
	}
	return nil
}

func (t *turn) call(command int, part *unix.Flock_t) error {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			failed = unix.FcntlFlock(fd, command, part)
		}
	})
	return errors.Join(err, failed)
}

// lives reports whether another gateway does.
func (t *turn) lives(gateway uint64) bool {
	part := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(gateway), Len: 1}
	err := t.call(unix.F_OFD_GETLK, &part)
	// Where the system does not tell, nobody must take its sessions for lost.
	return err != nil || part.Type != unix.F_UNLCK
}

// take waits until it is this gateway's turn, and reads the sheet.
func (t *turn) take() error {
	if err := t.lock(writing); err != nil {
		return err
	}
	if err := t.read(); err != nil {
		return errors.Join(err, t.pass())
	}
	return nil
}

// pass lets others have their turn.
func (t *turn) pass() error { return t.unlock(writing) }

func (t *turn) read() error {
	text := make([]byte, maxSheet)
	n, err := t.file.ReadAt(text, 0)
	if n == 0 {
		return fmt.Errorf("read %s: %w", t.file.Name(), err)
	}
	// What stands behind the line is left of a longer one.
	line, _, _ := strings.Cut(string(text[:n]), "\n")
	var found sheet
	for i, word := range strings.Fields(line) {
		number, err := strconv.ParseUint(word, 10, 63)
		if err != nil {
			return fmt.Errorf("%s: %w", t.file.Name(), err)
		}
		if i == 0 {
			found.files = number
		} else {
			found.gateways = append(found.gateways, number)
		}
	}
	t.sheet = found
	return nil
}

// write puts another sheet in the place of the one that was read. It need not last:
// a gateway that begins alone begins it anew.
func (t *turn) write(s sheet) error {
	line := strconv.FormatUint(s.files, 10)
	for _, g := range s.gateways {
		line += " " + strconv.FormatUint(g, 10)
	}
	if _, err := t.file.WriteAt([]byte(line+"\n"), 0); err != nil {
		return err
	}
	t.sheet = s
	return nil
}

// enter puts this gateway on the sheet.
func (t *turn) enter(self uint64) error {
	if err := t.lock(self); err != nil {
		return err
	}
	t.self = self
	s := t.sheet
	s.gateways = append(slices.Clone(s.gateways), self)
	return t.write(s)
}

// strike takes a gateway off the sheet.
func (t *turn) strike(gateway uint64) error {
	s := t.sheet
	s.gateways = slices.DeleteFunc(slices.Clone(s.gateways), func(g uint64) bool { return g == gateway })
	return t.write(s)
}

// others are the gateways on the sheet but one.
func (s sheet) others(than uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(s.gateways), func(g uint64) bool { return g == than })
}

// dead are the other gateways on the sheet that do not live.
func (t *turn) dead() []uint64 {
	return slices.DeleteFunc(t.sheet.others(t.self), t.lives)
}

// newest reports whether no gateway that lives began after this one.
func (t *turn) newest() bool {
	return !slices.ContainsFunc(t.sheet.gateways, func(g uint64) bool { return g > t.self && t.lives(g) })
}
