package audit

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"postern/internal/durable"
)

// The names in a trail's folder of what commands leave for the gateway, which
// alone writes the trail.
const (
	notesName = "notes"
	// asideName is the folder in it for what is no note.
	asideName = "refused"
	// doneEnding is that of a note whose command has done its work, and
	// openEnding that of one which is about to.
	doneEnding = ".json"
	openEnding = ".open"
)

// noteTime is how a note's name begins, so that names sort as notes were made.
const noteTime = "20060102T150405.000Z"

var noteNames = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}\.[0-9]{3}Z)-[0-9A-Z]{26}(\.json|\.open)$`)

// maxNote bounds a note: a few fields of at most maxForeign bytes.
const maxNote = 32 << 10

// Note tells the gateway of one change.
type Note struct {
	open, done string
	change     Change
}

// Announce leaves a note of a change that is about to be made, for the gateway
// that keeps the trail in a folder: what cannot be noted had better not be done.
// The note is on the disk when Announce returns, and counts once its command says
// how it ended, by [Note.Done] or [Note.Withdraw]; of one that never does, the
// trail says that after a minute.
func Announce(dir string, c Change) (_ *Note, err error) {
	var made []string
	defer func() {
		for _, folder := range slices.Backward(made) {
			if err != nil {
				_ = os.Remove(folder) // somebody else may use it already
			}
		}
	}()
	notes := filepath.Join(dir, notesName)
	for _, folder := range []string{dir, notes} {
		isNew, err := makeFolder(folder)
		if err != nil {
			return nil, err
		}
		if isNew {
			made = append(made, folder)
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if len(text) > maxNote {
		return nil, fmt.Errorf("a note of %d bytes is too long", len(text))
	}
	path := filepath.Join(notes, c.At.UTC().Format(noteTime)+"-"+rand.Text())
	n := &Note{path + openEnding, path + doneEnding, c}
	return n, durable.Create(n.open, text, 0o600)
}

// makeFolder makes a folder where there is none. A link would let whoever can write
// the state have root write elsewhere.
func makeFolder(path string) (isNew bool, err error) {
	err = durable.Mkdir(path, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder; move it away", path)
	}
	return false, err
}

// Done says that the change was made, or, by a failure, that it may have been.
func (n *Note) Done(failure error) error {
	if failure != nil {
		n.change.Failure = failure.Error()
		text, err := json.Marshal(n.change)
		if err != nil {
			return err
		}
		if len(text) <= maxNote {
			// Where this fails, the note says too little, which the rest of it
			// must not be lost for.
			_ = durable.Replace(n.open, text)
		}
	}
	err := os.Rename(n.open, n.done)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it took so long that the gateway has it on record already
	}
	return errors.Join(err, durable.SyncFolder(filepath.Dir(n.done)))
}

// Withdraw says that nothing was changed.
func (n *Note) Withdraw() error {
	err := durable.Remove(n.open)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// begun returns when a note was made, by its name.
func begun(name string) (time.Time, bool) {
	parts := noteNames.FindStringSubmatch(name)
	if parts == nil {
		return time.Time{}, false
	}
	at, err := time.Parse(noteTime, parts[1])
	return at, err == nil
}
