package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Query says which records are wanted: those that meet all of it. What is empty
// asks for nothing.
type Query struct {
	Client, Session, Event, Verdict string
	// Key is a fingerprint, proved or refused.
	Key string
	// Address is a network that the peer's address lies in.
	Address netip.Prefix
	// Text occurs somewhere in the record, as it is written there.
	Text string
	// Path is the absolute path of a file that was touched, or of a folder or a
	// borg repository with something below it that was.
	Path string
	// Since and Until bound the time: not before, and before.
	Since, Until time.Time
}

// needles are texts without which a line cannot meet the query. Looking for them
// is many times faster than reading the line.
func (q Query) needles() [][]byte {
	var all [][]byte
	for key, value := range map[string]string{"client": q.Client, "session": q.Session, "message": q.Event, "verdict": q.Verdict} {
		if value != "" {
			text, _ := json.Marshal(value) // a string always can be
			all = append(all, fmt.Appendf(nil, "%q:%s", key, text))
		}
	}
	for _, text := range []string{q.Key, q.Text, pathNeedle(q.Path)} {
		if text != "" {
			all = append(all, []byte(text))
		}
	}
	return all
}

func containsAll(line []byte, needles [][]byte) bool {
	return !slices.ContainsFunc(needles, func(needle []byte) bool { return !bytes.Contains(line, needle) })
}

// read reads a line, and reports whether it is wanted. needles are the query's own.
func (q Query) read(line []byte, needles [][]byte) (Record, bool) {
	if !containsAll(line, needles) {
		return Record{}, false
	}
	record, err := parseRecord(line)
	return record, err == nil && q.meets(record)
}

// meets reports whether a record that has all needles is wanted.
func (q Query) meets(r Record) bool {
	for _, field := range []struct{ want, got string }{
		{q.Client, r.Client}, {q.Session, r.Session}, {q.Event, r.Event}, {q.Verdict, r.Verdict},
	} {
		if field.want != "" && field.want != field.got {
			return false
		}
	}
	switch {
	case q.Key != "" && q.Key != r.Key && q.Key != r.Fingerprint,
		!q.Since.IsZero() && r.Time.Before(q.Since),
		!q.Until.IsZero() && !r.Time.Before(q.Until):
		return false
	}
	return (!q.Address.IsValid() || q.from(r.Address)) && (q.Path == "" || r.touches(q.Path))
}

// from reports whether an address with its port lies in the network.
func (q Query) from(address string) bool {
	peer, err := netip.ParseAddrPort(address)
	return err == nil && q.Address.Contains(peer.Addr().Unmap().WithZone(""))
}

// Scan calls f with the wanted records of the trail in a folder, the oldest
// first, until f returns false. Lines that are no records are passed over: what
// is wrong with a trail is for [Verify] to say.
func Scan(dir string, q Query, f func(Record) bool) error {
	files, err := filesFor(dir, q)
	if err != nil {
		return err
	}
	for _, file := range files {
		more, err := scanFile(file, q, f)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Newest returns the last n wanted records, the newest first.
func Newest(dir string, q Query, n int) ([]Record, error) {
	files, err := filesFor(dir, q)
	if err != nil {
		return nil, err
	}
	var found []Record
	for _, file := range slices.Backward(files) {
		var here []Record
		room := n - len(found)
		_, err := scanFile(file, q, func(r Record) bool {
			if here = append(here, r); len(here) >= 2*room {
				here = append(here[:0], here[len(here)-room:]...)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
		here = here[max(len(here)-room, 0):]
		slices.Reverse(here)
		if found = append(found, here...); len(found) == n {
			break
		}
	}
	return found, nil
}

// filesFor leaves out the files whose days lie outside the query.
func filesFor(dir string, q Query) ([]file, error) {
	files, err := listFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no trail", dir)
	}
	if q.Since.IsZero() && q.Until.IsZero() {
		return files, nil
	}
	since, until := q.Since.UTC().Format(time.DateOnly), q.Until.UTC().Format(time.DateOnly)
	var wanted []file
	for i, f := range files {
		// A full disk, or a clock that went on, can have later days in it.
		reaches := i == len(files)-1 || max(f.day, files[i+1].day) >= since
		if reaches && (q.Until.IsZero() || f.day <= until) {
			wanted = append(wanted, f)
		}
	}
	return wanted, nil
}

// scanFile calls f with the wanted records of one file, and returns whether there
// is more to come.
func scanFile(file file, q Query, f func(Record) bool) (more bool, err error) {
	r, err := file.open()
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // it is no longer kept
	}
	if err != nil {
		return false, err
	}
	defer r.close()
	needles := q.needles()
	for {
		line, err := r.line()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, errUnfinished):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("%s: %w", file.path, err)
		}
		if record, wanted := q.read(line, needles); wanted && !f(record) {
			return false, nil
		}
	}
}

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
	q.Event = decidedEvent
	decided, err := Newest(dir, q, n)
	if err != nil || len(decided) == 0 {
		return nil, err
	}
	sessions := make([]Session, len(decided))
	places := map[string]int{}
	for i, r := range decided {
		sessions[i].Decided, places[r.Session] = r, i
	}
	err = Scan(dir, Query{Event: endedEvent, Since: decided[len(decided)-1].Time}, func(r Record) bool {
		if i, ok := places[r.Session]; ok {
			sessions[i].Ended = &r
		}
		return true
	})
	return sessions, err
}

// The names of the records of a session.
const (
	decidedEvent = "session decided"
	filesEvent   = "files touched"
	servedEvent  = "borg operations"
	endedEvent   = "session ended"
)

// SessionRecords returns all records of one session, the oldest first.
func SessionRecords(dir, session string) ([]Record, error) {
	var all []Record
	err := Scan(dir, Query{Text: strings.SplitN(session, ".", 2)[0]}, func(r Record) bool {
		if r.Session == session || r.Session == "" && r.Connection != "" && strings.HasPrefix(session, r.Connection+".") {
			all = append(all, r)
		}
		return true
	})
	return all, err
}
