package audit

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// parseRecord reads a line of a trail. The record keeps a copy of it.
func parseRecord(line []byte) (Record, error) {
	text := strings.TrimSuffix(string(line), "\n")
	var r Record
	if p := (plainLine{rest: text}); !p.into(reflect.ValueOf(&r).Elem()) {
		r = Record{}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return r, err
		}
	}
	r.Line = json.RawMessage(text)
	return r, nil
}

// recordFields are the places of a record's fields by their names in the JSON.
var recordFields = sync.OnceValue(func() map[string]int {
	places := map[string]int{}
	record := reflect.TypeFor[Record]()
	for i := range record.NumField() {
		if name := record.Field(i).Tag.Get("json"); name != "-" {
			places[name] = i
		}
	}
	return places
})

// plainLine reads what nearly all records are, several times as fast as
// encoding/json: an object without white space, whose texts are ASCII and hold
// nothing that is escaped. Whatever else there is makes it give up.
type plainLine struct{ rest string }

// into reads the line into a record, and reports whether it could.
func (p *plainLine) into(record reflect.Value) bool {
	if !p.skip("{") {
		return false
	}
	for {
		name, ok := p.text()
		// Letters of the other case name a field too, to encoding/json.
		if !ok || !p.skip(":") || name != strings.ToLower(name) {
			return false
		}
		place, known := recordFields()[name]
		if known {
			ok = p.value(record.Field(place))
		} else {
			ok = p.pass()
		}
		switch {
		case !ok:
			return false
		case p.skip("}"):
			return p.rest == ""
		case !p.skip(","):
			return false
		}
	}
}

// skip takes a token, and reports whether it is there.
func (p *plainLine) skip(token string) (there bool) {
	p.rest, there = strings.CutPrefix(p.rest, token)
	return there
}

// text takes a text.
func (p *plainLine) text() (string, bool) {
	if !p.skip(`"`) {
		return "", false
	}
	for i := range len(p.rest) {
		switch c := p.rest[i]; {
		case c == '"':
			text := p.rest[:i]
			p.rest = p.rest[i+1:]
			return text, true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// value takes the value of a field.
func (p *plainLine) value(field reflect.Value) bool {
	switch to := field.Addr().Interface().(type) {
	case *string:
		text, ok := p.text()
		*to = strings.Clone(text) // or it would hold the whole line
		return ok
	case *[]string:
		return p.texts(to)
	case *[]uint64:
		list := p.rest
		return p.pass() && json.Unmarshal([]byte(list[:len(list)-len(p.rest)]), to) == nil
	case *time.Time:
		text, ok := p.text()
		return ok && to.UnmarshalText([]byte(text)) == nil
	case *bool:
		*to = p.skip("true")
		return *to || p.skip("false")
	case **int:
		*to = new(int)
		return parsed(p, *to, strconv.Atoi)
	case *int64:
		return parsed(p, to, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	case *uint64:
		return parsed(p, to, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	case *float64:
		return parsed(p, to, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
	}
	return false
}

func (p *plainLine) texts(to *[]string) bool {
	*to = []string{}
	if !p.skip("[") {
		return false
	}
	if p.skip("]") {
		return true
	}
	for {
		text, ok := p.text()
		*to = append(*to, strings.Clone(text))
		switch {
		case !ok:
			return false
		case p.skip("]"):
			return true
		case !p.skip(","):
			return false
		}
	}
}

// parsed takes a number.
func parsed[T any](p *plainLine, to *T, parse func(string) (T, error)) bool {
	number := p.rest[:len(p.rest)-len(strings.TrimLeft(p.rest, "+-.0123456789eE"))]
	p.rest = p.rest[len(number):]
	n, err := parse(number)
	*to = n
	return err == nil && json.Valid([]byte(number))
}

// pass takes a value that no field is for.
func (p *plainLine) pass() bool {
	depth, quoted := 0, false
	for i := range len(p.rest) {
		switch c := p.rest[i]; {
		case c == '\\':
			return false
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}'):
			value := p.rest[:i]
			p.rest = p.rest[i:]
			return json.Valid([]byte(value)) && strings.TrimSpace(value) == value
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
