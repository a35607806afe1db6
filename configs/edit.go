package configs

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

const disabledKey = "disabled"

// disabledEntry is the key with its value, as a line edit can find it.
var disabledEntry = regexp.MustCompile(`^(["']?)disabled["']?[ \t]*:[ \t]*([A-Za-z]+)`)

// withDisabled returns the content of a client's file with the key disabled set
// to the value, or complains.
func withDisabled(name string, data []byte, value bool, r *report) ([]byte, bool) {
	s, ok := newSource(name, data, r)
	if !ok {
		return nil, false
	}
	root := s.parse()
	if root == nil {
		return nil, false
	}
	changed := edit(string(data), root, value)
	if !sameBut(string(data), changed, value) {
		s.fault(mark{}, "set "+disabledKey+" in the file by hand", "the file is laid out in a way that cannot be changed safely")
		return nil, false
	}
	return []byte(changed), true
}

// edit changes the value of the key, or adds the key in front of the first one.
// It returns the text unchanged where it does not find its way.
func edit(text string, root *ast.MappingNode, value bool) string {
	for _, entry := range root.Values {
		if key, ok := keyText(entry.Key); ok && key == disabledKey {
			at := offset(text, markOf(entry.Key))
			if found := disabledEntry.FindStringSubmatchIndex(text[at:]); found != nil {
				return text[:at+found[4]] + strconv.FormatBool(value) + text[at+found[5]:]
			}
			return text
		}
	}
	if !value {
		return text
	}
	at := offset(text, markOf(root))
	if root.IsFlowStyle {
		separator := ", "
		if len(root.Values) == 0 {
			separator = ""
		}
		return text[:at+1] + disabledKey + ": true" + separator + text[at+1:]
	}
	start := strings.LastIndexByte(text[:at], '\n') + 1
	start += len(text[start:]) - len(strings.TrimPrefix(text[start:], byteOrderMark))
	return text[:at] + disabledKey + ": true" + lineEnd(text) + text[start:at] + text[at:]
}

// lineEnd returns how the lines of the text end.
func lineEnd(text string) string {
	if first, _, ok := strings.Cut(text, "\n"); ok && strings.HasSuffix(first, "\r") {
		return "\r\n"
	}
	return "\n"
}

// offset returns the byte that the mark is at in the file as it was read.
func offset(text string, m mark) int {
	at := 0
	for range m.line - 1 {
		at += strings.IndexByte(text[at:], '\n') + 1
	}
	if m.line == 1 && strings.HasPrefix(text, byteOrderMark) {
		at += len(byteOrderMark)
	}
	for column := range text[at:] {
		if m.column--; m.column == 0 {
			return at + column
		}
	}
	return len(text)
}

// sameBut reports whether both texts say the same, except that the second has
// the value for disabled.
func sameBut(before, after string, value bool) bool {
	old, err1 := meaning(before)
	new, err2 := meaning(after)
	if err1 != nil || err2 != nil {
		return false
	}
	is, there := new[disabledKey]
	delete(old, disabledKey)
	delete(new, disabledKey)
	return (is == value || !there && !value) && reflect.DeepEqual(old, new)
}

// meaning returns what a text says, as the YAML library sees it.
func meaning(text string) (map[string]any, error) {
	text = strings.ReplaceAll(strings.TrimPrefix(text, byteOrderMark), "\r\n", "\n")
	return guarded(func() (map[string]any, error) {
		all := map[string]any{}
		return all, yaml.Unmarshal([]byte(text), &all)
	})
}
