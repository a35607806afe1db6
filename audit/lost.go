package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/rs/zerolog"
)

// lostWhy is why a session has no other end.
const lostWhy = "the gateway was killed, or its host lost power"

// endLost records the end of the sessions with these decisions, in which the
// gateway before was killed, so that every session that was allowed has one. A
// gateway that is killed here leaves the rest to the next one.
func (t *Trail) endLost(decisions [][]byte) error {
	for _, line := range decisions {
		r, err := parseRecord(line)
		if err != nil {
			continue // likewise
		}
		c := Connection{ID: r.Connection, Address: r.Address, Client: r.Client, Key: r.Key}
		err = t.record(zerolog.WarnLevel, endedEvent, loose, func(e *zerolog.Event) {
			c.mark(e)
			e.Str("session", r.Session).Bool("lost", true).Str("why", lostWhy)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unended returns the decisions of the last gateway whose sessions have no end.
// It reads the trail back to where that one started or stopped: when it did, every
// session before had its end.
func unended(dir string) ([][]byte, error) {
	files, err := listFiles(dir)
	if err != nil {
		return nil, err
	}
	var open [][]byte
	ended := map[string]bool{} // whose decision is in a file before
	for _, f := range slices.Backward(files) {
		here, err := accountOf(f)
		if err != nil {
			// What is wrong with a file is for Verify to say. A gateway that
			// does not start because of it would help nobody.
			break
		}
		for session, line := range here.begun {
			if !ended[session] {
				open = append(open, line)
			}
		}
		if here.whole {
			break
		}
		maps.Copy(ended, here.ended)
	}
	slices.SortFunc(open, func(a, b []byte) int {
		first, _, _ := linkOf(a)
		second, _, _ := linkOf(b)
		return cmp.Compare(first, second)
	})
	return open, nil
}

// account is what one file tells of the last gateway's sessions.
type account struct {
	// begun are the decisions of those that did not end in this file, and ended
	// are those that did not begin in it.
	begun map[string][]byte
	ended map[string]bool
	// whole says that the files before tell nothing.
	whole bool
}

func accountOf(f file) (account, error) {
	a := account{begun: map[string][]byte{}, ended: map[string]bool{}}
	p, err := f.pages()
	if err != nil {
		return a, err
	}
	defer p.close()
	for lines, err := range p.all() {
		if err != nil {
			return a, fmt.Errorf("%s: %w", f.path, err)
		}
		for line := range bytes.Lines(lines) {
			a.take(line)
		}
	}
	return a, nil
}

// take adds a record.
func (a *account) take(line []byte) {
	switch {
	case endsLike(line, startedEvent), endsLike(line, stoppedEvent):
		clear(a.begun)
		clear(a.ended)
		a.whole = true
	case endsLike(line, decidedEvent) && bytes.Contains(line, []byte(`,"verdict":"allow"`)):
		a.begun[sessionOf(line)] = bytes.Clone(line)
	case endsLike(line, endedEvent):
		session := sessionOf(line)
		if a.begun[session] == nil {
			a.ended[session] = true
		}
		delete(a.begun, session)
	}
}

// sessionOf is the session that a record names. Nothing that a client sent can
// look like the field: its quotes would be escaped.
func sessionOf(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte(`,"session":"`))
	session, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(session)
}
