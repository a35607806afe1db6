package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"postern/internal/durable"
)

const (
	// notesAtOnce bounds how many names are read before what they stand for is
	// dealt with: a folder that somebody filled takes several rounds.
	notesAtOnce = 1000
	// commandTime is far longer than a command takes between its note and its
	// end.
	commandTime = time.Minute
)

// notes are those that are on record and still lie there, by their names without
// their endings. It is nil until what a gateway before this one left was looked at.
type notes map[string]bool

// TakeNotes records the changes that commands left notes of, the oldest first,
// each of them once, and removes the notes. What is no note is moved aside, and a
// record says so. It must not be called twice at once. What fails is tried again
// by the next call.
func (t *Trail) TakeNotes() error {
	dir := filepath.Join(t.store.dir, notesName)
	names, err := listNotes(dir)
	if err != nil {
		return err
	}
	if t.notes == nil {
		if t.notes, err = recordedNotes(t.store.dir, names); err != nil {
			return err
		}
	}
	for _, name := range names {
		err = errors.Join(err, t.takeNote(dir, name))
	}
	return err
}

// listNotes returns the names in a folder, as they sort, that stand for something
// to be done.
func listNotes(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(notesAtOnce)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return name == asideName || strings.HasPrefix(name, ".") // one that is being written
	})
	slices.Sort(names)
	return names, nil
}

// recordedNotes returns which of the notes a gateway before this one put on record
// without having removed them.
func recordedNotes(dir string, names []string) (notes, error) {
	found, left := notes{}, notes{}
	var oldest time.Time
	for _, name := range names {
		if at, is := begun(name); is {
			if left[noteOf(name)] = true; len(left) == 1 {
				oldest = at
			}
		}
	}
	if len(left) == 0 {
		return found, nil
	}
	// A day is for clocks that were put right in between.
	q := Query{Event: changeEvent, Since: oldest.AddDate(0, 0, -1)}
	return found, Scan(dir, q, func(r Record) bool {
		if left[r.Note] {
			found[r.Note] = true
		}
		return true
	})
}

// noteOf is a note's name without its ending.
func noteOf(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, doneEnding), openEnding)
}

// takeNote deals with one name in the folder.
func (t *Trail) takeNote(dir, name string) error {
	at, is := begun(name)
	if !is {
		return t.setAside(dir, name, "it is not called like a note")
	}
	open := strings.HasSuffix(name, openEnding)
	if open && t.now().Sub(at).Abs() < commandTime {
		return nil // its command is at work
	}
	c, err := readNote(filepath.Join(dir, name))
	var wrong notNote
	switch {
	case errors.As(err, &wrong):
		return t.setAside(dir, name, wrong)
	case errors.Is(err, fs.ErrNotExist):
		return nil // its command is done, and has renamed it
	case err != nil:
		return err
	}
	if open {
		c.Failure = "the command did not say how it ended"
	}
	record := func() error { return t.changed(noteOf(name), c) }
	return t.once(noteOf(name), record, func() error { return durable.Remove(filepath.Join(dir, name)) })
}

// once records something and gets it out of the way. Where only the former works,
// the next time does only the latter.
func (t *Trail) once(name string, record, remove func() error) error {
	if !t.notes[name] {
		if err := record(); err != nil {
			return err
		}
		t.notes[name] = true
	}
	err := remove()
	if err == nil {
		delete(t.notes, name)
	}
	return err
}

// notNote says why something is no note.
type notNote string

// Error implements error.
func (n notNote) Error() string { return string(n) }

// readNote reads a note. Nothing that somebody put there in its place can make it
// wait or read without end.
func readNote(path string) (Change, error) {
	var c Change
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO):
		return c, notNote("it is no file")
	case errors.Is(err, fs.ErrPermission):
		return c, notNote("the gateway may not read it")
	case err != nil:
		return c, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	if !info.Mode().IsRegular() {
		return c, notNote("it is no file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxNote+1))
	if err != nil {
		return c, err
	}
	if len(text) > maxNote {
		return c, notNote(fmt.Sprintf("it is longer than %d bytes", maxNote))
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, notNote(err.Error())
	}
	if c.Command == "" {
		return c, notNote("it names no command")
	}
	return c, nil
}

// setAside records that something is no note, and moves it out of the way.
func (t *Trail) setAside(dir, name string, why notNote) error {
	record := func() error {
		return t.record(zerolog.WarnLevel, "note refused", binding, func(e *zerolog.Event) {
			foreign(e, "name", name)
			foreign(e, "why", string(why))
		})
	}
	return t.once(name, record, func() error {
		aside := filepath.Join(dir, asideName)
		if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return os.Rename(filepath.Join(dir, name), filepath.Join(aside, name))
	})
}
