package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// glance reads of a record what summaries count, several times faster than
// [parseRecord]: most fields of a record are passed over. ok says that it is one of
// the events; the record keeps a copy of the line where they say so.
func glance(line []byte, events map[string]bool) (r Record, ok bool) {
	r.Event = eventOf(line)
	copies, wanted := events[r.Event]
	if !wanted {
		return r, false
	}
	ok = members(line, func(key, value []byte) bool { return r.take(string(key), value) })
	if copies {
		r.Line = bytes.Clone(bytes.TrimSuffix(line, []byte("\n")))
	}
	return r, ok
}

// glances calls f with the records of some events that meet the query, the oldest
// first.
func glances(dir string, q Query, events map[string]bool, f func(Record)) error {
	files, err := someFiles(dir)
	if err != nil {
		return err
	}
	s := search{frames: q.frames, match: func(line []byte) (Record, bool) {
		r, ok := glance(line, events)
		return r, ok && q.meets(r)
	}}
	return s.scan(q.within(files), func(r Record) bool { f(r); return true })
}

// eventOf is the name of a record, which stands last.
func eventOf(line []byte) string {
	const mark, end = `,"message":"`, "\"}\n"
	at := bytes.LastIndex(line, []byte(mark))
	if at < 0 || !bytes.HasSuffix(line, []byte(end)) || at+len(mark) > len(line)-len(end) {
		return ""
	}
	return string(line[at+len(mark) : len(line)-len(end)])
}

// take puts the value of one field into the record, and reports whether it could be
// one.
func (r *Record) take(key string, value []byte) bool {
	switch key {
	case "time":
		at, err := time.Parse(`"`+time.RFC3339+`"`, string(value))
		r.Time = at
		return err == nil
	case "client":
		return readText(value, &r.Client)
	case "address":
		return readText(value, &r.Address)
	case "connection":
		return readText(value, &r.Connection)
	case "session":
		return readText(value, &r.Session)
	case "tool":
		return readText(value, &r.Tool)
	case "verdict":
		return readText(value, &r.Verdict)
	case "code":
		return readText(value, &r.Code)
	case "failure":
		return readText(value, &r.Failure)
	case "stores":
		r.Stores = string(value) == "true"
	case "status":
		n, err := strconv.Atoi(string(value))
		r.Status = &n
		return err == nil
	case "seconds":
		seconds, err := strconv.ParseFloat(string(value), 64)
		r.Seconds = seconds
		return err == nil
	case "in":
		return readNumber(value, &r.In)
	case "out":
		return readNumber(value, &r.Out)
	case "created":
		return readNumber(value, &r.Created)
	case "changed":
		return readNumber(value, &r.Changed)
	case "deleted":
		return readNumber(value, &r.Deleted)
	case "sent":
		return readNumber(value, &r.Sent)
	case "unrecorded":
		return readNumber(value, &r.Unrecorded)
	case "unlogged":
		r.Unlogged = string(value) == "true"
	}
	return true
}

func readNumber(value []byte, to *int64) bool {
	n, err := strconv.ParseInt(string(value), 10, 64)
	*to = n
	return err == nil
}

// readText reads a string.
func readText(value []byte, to *string) bool {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return json.Unmarshal(value, to) == nil
	}
	*to = string(value[1 : len(value)-1])
	return true
}

// members calls f with the members of an object of JSON: the name of each without
// its quotes, as it is written, and its value. It returns false where f does, and
// where the line is no object that the gateway could have written.
func members(line []byte, f func(key, value []byte) bool) bool {
	if len(line) == 0 || line[0] != '{' {
		return false
	}
	for at := 1; ; {
		key := valueEnd(line, at)
		if key < at+2 || key >= len(line) || line[at] != '"' || line[key] != ':' {
			return false
		}
		value := valueEnd(line, key+1)
		if value < 0 || value >= len(line) || !f(line[at+1:key-1], line[key+1:value]) {
			return false
		}
		if line[value] != ',' {
			return line[value] == '}'
		}
		at = value + 1
	}
}

// valueEnd returns where the value that begins at a place ends, or -1 where the line
// does before.
func valueEnd(line []byte, at int) int {
	for depth := 0; at < len(line); at++ {
		switch line[at] {
		case '"':
			if at = stringEnd(line, at); at < 0 {
				return -1
			}
		case '{', '[':
			depth++
		case '}', ']', ',', ':':
			if depth == 0 {
				return at
			}
			if line[at] == '}' || line[at] == ']' {
				depth--
			}
		}
	}
	return -1
}

// stringEnd returns where the closing quote of a string stands, or -1.
func stringEnd(line []byte, at int) int {
	for at++; at < len(line); at += 2 {
		next := bytes.IndexAny(line[at:], `"\`)
		if next < 0 {
			return -1
		}
		if at += next; line[at] == '"' {
			return at
		}
	}
	return -1
}
