package audit

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Session is what became of one request, from its records.
type Session struct {
	Decided Record `json:"decided"`
	// Ended is nil while the session runs, and where nothing was started.
	Ended *Record `json:"ended,omitempty"`
}

// NewestSessions returns the last n sessions whose decision is wanted, the newest
// first.
func NewestSessions(dir string, q Query, n int) ([]Session, error) {
	if q.Path != "" {
		return sessionsTouching(dir, q, n)
	}
	files, err := someFiles(dir)
	if err != nil {
		return nil, err
	}
	q.Event = decidedEvent
	decided, err := q.newest(files, n)
	if err != nil {
		return nil, err
	}
	sessions := make([]Session, len(decided))
	for i, r := range decided {
		sessions[i].Decided = r.Record
	}
	return sessions, addEnds(files, decided, sessions)
}

// addEnds looks for the ends of sessions behind their decisions, no further than
// the start of the next gateway that has the trail to itself: what is running when the
// one before ends has none.
func addEnds(files []file, decided []place, sessions []Session) error {
	wanted, running := map[string]bool{}, map[string]*Session{}
	for _, d := range decided {
		wanted[d.Session] = true
	}
	next := len(decided) - 1
	for _, f := range files {
		from := int64(0)
		if len(running) == 0 && next >= 0 {
			from = decided[next].start
		}
		for ; next >= 0 && decided[next].file == f.first; next-- {
			if decided[next].Verdict == "allow" {
				running[decided[next].Session] = &sessions[next]
			}
		}
		if len(running) == 0 {
			continue
		}
		_, err := endsOf(wanted, running).in(f, from, false, func(found hits) bool {
			for _, r := range found.records {
				settle(running, r)
			}
			return len(running) > 0
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// endsOf asks for the ends of the wanted sessions, and the starts of gateways. The
// running ones tell which clients that may be.
func endsOf(wanted map[string]bool, running map[string]*Session) search {
	clients := map[string]bool{}
	for _, s := range running {
		clients[s.Decided.Client] = true
	}
	return search{
		match: func(line []byte) (Record, bool) {
			if !endsLike(line, startedEvent) && (!endsLike(line, endedEvent) || !wanted[sessionOf(line)]) {
				return Record{}, false
			}
			r, err := parseRecord(line)
			return r, err == nil
		},
		frames: func(x index) func(int) bool {
			started, ended := x.events(startedEvent), x.events(endedEvent)
			theirs := x.holding(kindClient, func(client []byte) bool { return clients[string(client)] || !plain(string(client)) })
			return func(frame int) bool {
				return started.has(frame) || ended.has(frame) && (theirs.has(frame) || clients[""])
			}
		},
	}
}

// settle takes a session that has ended, or all that began before a gateway did which
// has the trail to itself, from those that run.
func settle(running map[string]*Session, r Record) {
	if s := running[r.Session]; s != nil && r.Event == endedEvent {
		s.Ended = &r
		delete(running, r.Session)
	}
	maps.DeleteFunc(running, func(_ string, s *Session) bool {
		return r.startedAlone() && s.Decided.Number < r.Number
	})
}

// The names of the records of a session, and of the one that ends its connection.
const (
	decidedEvent = "session decided"
	filesEvent   = "files touched"
	servedEvent  = "borg operations"
	endedEvent   = "session ended"
	leftEvent    = "connection ended"
)

// SessionRecords returns all records of one session and of its connection, the
// oldest first.
func SessionRecords(dir, session string) ([]Record, error) {
	files, err := someFiles(dir)
	connection, _, named := strings.Cut(session, ".")
	if err != nil || !named {
		return nil, err
	}
	if began, ok := connectionTime(connection); ok {
		// A clock that is set right goes back a little.
		all, err := sessionRecords(files, began.Add(-time.Minute), connection, session)
		if err != nil || len(all) > 0 {
			return all, err
		}
	}
	return sessionRecords(files, time.Time{}, connection, session)
}

// connectionTime is when a connection began, as its name says. Those of older
// gateways say nothing.
func connectionTime(name string) (began time.Time, ok bool) {
	seconds, err := strconv.ParseUint(name[:min(len(name), 8)], 16, 32)
	return time.Unix(int64(seconds), 0), err == nil
}

// sessionRecords looks for the records from a time on up to the end of the
// connection, or the start of the next gateway. Whatever the clock does in between,
// all that comes behind the first is looked at.
func sessionRecords(files []file, since time.Time, connection, session string) ([]Record, error) {
	var all []Record
	s := search{
		match: func(line []byte) (Record, bool) {
			if !bytes.Contains(line, []byte(connection)) && !endsLike(line, startedEvent) {
				return Record{}, false
			}
			r, err := parseRecord(line)
			return r, err == nil && (r.Connection == connection || r.startedAlone())
		},
		frames: func(x index) func(int) bool {
			reached, reaching := len(all) > 0, x.during(since, time.Time{})
			return func(frame int) bool {
				reached = reached || reaching.has(frame)
				return reached
			}
		},
	}
	first := Query{Since: since}.within(files)[0].first
	files = slices.DeleteFunc(slices.Clone(files), func(f file) bool { return f.first < first })
	err := s.scan(files, func(r Record) bool {
		if r.startedAlone() {
			return len(all) == 0
		}
		if r.Session == session || r.Session == "" {
			all = append(all, r)
		}
		return r.Event != leftEvent
	})
	return all, err
}
