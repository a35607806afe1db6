package audit

import (
	"time"

	"github.com/rs/zerolog"
)

// PolicyLoaded records the files that a gateway goes by from now on: the hash of
// all of them, and how many clients and rules they make. The keys in waiting are
// those of its own file that it goes by only when it starts anew.
func (t *Trail) PolicyLoaded(hash string, clients, rules int, waiting []string) error {
	return t.record(zerolog.InfoLevel, loadedEvent, binding, func(e *zerolog.Event) {
		e.Str("policy", hash).Int("clients", clients).Int("rule_count", rules)
		if len(waiting) > 0 {
			e.Strs("next_start", waiting)
		}
	})
}

// The names of what became of files.
const (
	loadedEvent   = "policy loaded"
	unloadedEvent = "policy refused"
)

// Unloaded returns the record of the newest files, where a gateway refused them and
// goes by those before if it runs; nil where it has loaded them.
func Unloaded(dir string) (*Record, error) {
	refused, err := Newest(dir, Query{Event: unloadedEvent}, 1)
	if err != nil || len(refused) == 0 {
		return nil, err
	}
	loaded, err := Newest(dir, Query{Event: loadedEvent}, 1)
	if err != nil || len(loaded) > 0 && loaded[0].Number > refused[0].Number {
		return nil, err
	}
	return &refused[0], nil
}

// shownProblems is how many problems of a policy the trail keeps: the others are
// found by whoever corrects these.
const shownProblems = 5

// PolicyRefused records files that a gateway does not go by, and what is wrong
// with them, each problem with its place.
func (t *Trail) PolicyRefused(problems []string) error {
	return t.record(zerolog.ErrorLevel, unloadedEvent, binding, func(e *zerolog.Event) {
		e.Int("count", len(problems))
		foreignWords(e, "problems", problems[:min(len(problems), shownProblems)])
	})
}

// Change is what a command did to the files or the state of a gateway, and by
// whom.
type Change struct {
	// Command is the command without its arguments, such as "client add".
	Command string `json:"command"`
	// Client and File are what it was about; empty where it was about none.
	Client string `json:"client,omitempty"`
	File   string `json:"file,omitempty"`
	// Source is the network whose penalties were lifted; empty for all of them.
	Source string `json:"source,omitempty"`
	// Session is the one that was ended; empty where several were.
	Session string `json:"session,omitempty"`
	// UID is the user that ran it, and By the name. SudoUser is who became that
	// user, as sudo says, and Terminal where.
	UID      int    `json:"uid"`
	By       string `json:"by,omitempty"`
	SudoUser string `json:"sudo_user,omitempty"`
	Terminal string `json:"terminal,omitempty"`
	// At is when.
	At time.Time `json:"at"`
	// Failure is why it may not have been done, or not wholly.
	Failure string `json:"failure,omitempty"`
}

// changeEvent is the name of the record of a change.
const changeEvent = "administrative change"

// changed records a change, and the name of the note that told of it.
func (t *Trail) changed(note string, c Change) error {
	return t.record(zerolog.InfoLevel, changeEvent, binding, func(e *zerolog.Event) {
		e.Str("note", note).Str("at", c.At.UTC().Format(timeFormat))
		foreign(e, "command", c.Command)
		e.Int("uid", c.UID)
		for _, field := range []struct{ key, text string }{
			{"by", c.By}, {"sudo_user", c.SudoUser}, {"terminal", c.Terminal},
			{"client", c.Client}, {"session", c.Session}, {"file", c.File}, {"source", c.Source}, {"failure", c.Failure},
		} {
			if field.text != "" {
				foreign(e, field.key, field.text)
			}
		}
	})
}
