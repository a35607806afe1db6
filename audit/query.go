package audit

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
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

// needles are texts without which a line cannot meet the query, those first that
// are likely to be rare. Looking for them is many times faster than reading the
// line.
func (q Query) needles() [][]byte {
	var all [][]byte
	for _, text := range []string{q.Text, pathNeedle(q.Path), q.Key} {
		if text != "" {
			all = append(all, []byte(text))
		}
	}
	for _, field := range []struct{ name, value string }{
		{"session", q.Session}, {"client", q.Client}, {"verdict", q.Verdict}, {"message", q.Event},
	} {
		if field.value != "" && plain(field.value) {
			// Without the first quote, which is everywhere.
			all = append(all, fmt.Appendf(nil, `%s":"%s"`, field.name, field.value))
		}
	}
	return all
}

// plain reports whether a text stands in a record as it is.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r == '"' || r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r)
	})
}

// search is the query as it is put to a file.
func (q Query) search() search {
	needles := q.needles()
	s := search{match: func(line []byte) (Record, bool) {
		if slices.ContainsFunc(needles, func(needle []byte) bool { return !bytes.Contains(line, needle) }) {
			return Record{}, false
		}
		record, err := parseRecord(line)
		return record, err == nil && q.meets(record)
	}}
	if len(needles) > 0 {
		s.needle = needles[0]
	}
	if q.Client+q.Event+q.Verdict+q.Key != "" || q.Address.IsValid() || !q.Since.IsZero() || !q.Until.IsZero() {
		s.frames = q.frames
	}
	return s
}

// frames returns in which frames of a file there can be wanted records.
func (q Query) frames(x index) func(frame int) bool {
	sets := []bits{x.during(q.Since, q.Until)}
	for kind, value := range map[string]string{kindClient: q.Client, kindEvent: q.Event, kindVerdict: q.Verdict, kindKey: q.Key} {
		if value != "" && plain(value) {
			sets = append(sets, x.holding(kind, func(held []byte) bool { return string(held) == value }))
		}
	}
	if q.Address.IsValid() {
		sets = append(sets, x.holding(kindAddress, func(host []byte) bool { return q.from(string(host) + ":0") }))
	}
	return func(frame int) bool {
		return !slices.ContainsFunc(sets, func(set bits) bool { return !set.has(frame) })
	}
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
