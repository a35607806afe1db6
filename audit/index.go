package audit

import "bytes"

// The kinds of values that an index knows.
const (
	kindAddress = "address" // without its port
	kindClient  = "client"
	kindEvent   = "event"
	kindKey     = "key" // proved or refused
	kindVerdict = "verdict"
)

// terms are what an index tells of one page: the values of each kind, and the
// times.
type terms struct {
	earliest, latest string
	values           map[string]map[string]struct{}
}

// termsOf reads the terms of some lines: each field that is a text and has one of
// these names, wherever it stands in a record. In a text the quotes are escaped, so
// that none can hold what looks like a field.
func termsOf(lines []byte) terms {
	t := terms{values: map[string]map[string]struct{}{}}
	for at := 0; ; at++ {
		colon := bytes.IndexByte(lines[at:], ':')
		if colon < 0 {
			return t
		}
		at += colon
		if at < 2 || at+1 == len(lines) || lines[at-1] != '"' || lines[at+1] != '"' {
			continue
		}
		name, value := lines[:at-1], lines[at+2:]
		switch lines[at-2] { // most fields are none of these
		case 'e':
			if isField(name, "time") {
				t.during(text(value))
			} else if isField(name, "message") {
				t.add(kindEvent, text(value))
			}
		case 's':
			if isField(name, "address") {
				host := text(value)
				t.add(kindAddress, host[:max(bytes.LastIndexByte(host, ':'), 0)])
			}
		case 't':
			if isField(name, "client") {
				t.add(kindClient, text(value))
			} else if isField(name, "verdict") {
				t.add(kindVerdict, text(value))
			} else if isField(name, "fingerprint") {
				t.add(kindKey, text(value))
			}
		case 'y':
			if isField(name, "key") {
				t.add(kindKey, text(value))
			}
		}
	}
}

// isField reports whether what ends there is the name of a field.
func isField(end []byte, name string) bool {
	quote := len(end) - len(name) - 1
	return quote >= 0 && end[quote] == '"' && string(end[quote+1:]) == name
}

// text is a text up to its first quote.
func text(value []byte) []byte { return value[:max(bytes.IndexByte(value, '"'), 0)] }

func (t *terms) add(kind string, value []byte) {
	values := t.values[kind]
	if values == nil {
		values = map[string]struct{}{}
		t.values[kind] = values
	}
	if _, known := values[string(value)]; !known {
		values[string(value)] = struct{}{}
	}
}

func (t *terms) during(time []byte) {
	if t.earliest == "" || string(time) < t.earliest {
		t.earliest = string(time)
	}
	if string(time) > t.latest {
		t.latest = string(time)
	}
}
