package configs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// fields says what to do with the value of each key of a mapping.
type fields map[string]func(value ast.Node)

// mapping hands each value to its field, in the order of the file. It complains
// about unknown keys, keys that occur twice, and keys without a value.
// elsewhere gives the remedy for keys that belong to another mapping.
func (s *source) mapping(m *ast.MappingNode, known fields, elsewhere map[string]string) {
	seen := make(map[string]mark, len(m.Values))
	for _, entry := range m.Values {
		at := markOf(entry.Key)
		key, ok := keyText(entry.Key)
		if !ok {
			s.fault(at, "quote it if it is meant", "a key must be text, not %s", kindOf(entry.Key))
			continue
		}
		if first, twice := seen[key]; twice {
			s.fault(at, "keep one of the two", "key %q is already on line %d", key, first.line)
			continue
		}
		seen[key] = at
		field, ok := known[key]
		switch {
		case !ok:
			s.unknownKey(at, key, known, elsewhere)
		case entry.Value == nil || entry.Value.Type() == ast.NullType:
			s.fault(at, "write a value, or remove the line", "key %q has no value", key)
		default:
			field(entry.Value)
		}
	}
}

func keyText(n ast.Node) (string, bool) {
	text, ok := n.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return text.Value, true
}

func (s *source) unknownKey(at mark, key string, known fields, elsewhere map[string]string) {
	remedy, ok := elsewhere[key]
	if !ok {
		remedy = didYouMean(key, slices.Sorted(maps.Keys(known)))
	}
	s.fault(at, remedy, "unknown key %q", key)
}

// has reports whether the mapping has the key, whatever its value.
func has(m *ast.MappingNode, key string) bool {
	return slices.ContainsFunc(m.Values, func(entry *ast.MappingValueNode) bool {
		text, ok := keyText(entry.Key)
		return ok && text == key
	})
}

// child returns the value as a mapping, or complains.
func (s *source) child(n ast.Node, key string) (*ast.MappingNode, bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		s.fault(markOf(n), "write the keys of it below, indented", "%s must be a mapping, not %s", key, kindOf(n))
	}
	return m, ok
}

// list returns the items of the value, or complains. Where ifEmpty is given, it
// is the remedy for a list without items.
func (s *source) list(n ast.Node, key, ifEmpty string) []ast.Node {
	l, ok := n.(*ast.SequenceNode)
	if !ok {
		s.fault(markOf(n), fmt.Sprintf("write it as a list: %s: [ITEM, ITEM]", key), "%s must be a list, not %s", key, kindOf(n))
		return nil
	}
	if len(l.Values) == 0 && ifEmpty != "" {
		s.fault(markOf(n), ifEmpty, "%s is empty", key)
	}
	return l.Values
}

// words hands each item of a list of text to each.
func (s *source) words(n ast.Node, key, ifEmpty string, each func(at mark, word string)) {
	for _, item := range s.list(n, key, ifEmpty) {
		if word, ok := s.word(item, key); ok {
			each(markOf(item), word)
		}
	}
}

// word returns the value as printable text of one line, or complains.
func (s *source) word(n ast.Node, key string) (string, bool) {
	text, ok := s.plain(n, key)
	if message, remedy := badText(text); ok && message != "" {
		s.fault(markOf(n), remedy, "%s %s", key, message)
		return "", false
	}
	return text, ok
}

// plain returns the value as text of any kind, or complains.
func (s *source) plain(n ast.Node, key string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	}
	s.fault(markOf(n), textRemedy(n), "%s must be text, not %s", key, kindOf(n))
	return "", false
}

// textRemedy says how to make text of a value.
func textRemedy(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.SequenceNode:
		return "write one value, in quotes if it holds \": \""
	}
	return "quote it if it is meant"
}

// choice returns the value as one of the words, or complains.
func (s *source) choice(n ast.Node, key string, words []string) (string, bool) {
	text, ok := s.word(n, key)
	if ok && !slices.Contains(words, text) {
		s.fault(markOf(n), didYouMean(text, words), "%s cannot be %q", key, text)
		return "", false
	}
	return text, ok
}

// yes sets the flag to the value, or complains. Only true and false are
// booleans: what other words mean depends on who reads them.
func (s *source) yes(n ast.Node, key string, flag *bool) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		s.fault(markOf(n), "write true or false", "%s must be true or false, not %s", key, shown(n))
		return
	}
	*flag = b.Value
}

// shown returns text and numbers as the file has them, quoted, and the kind of
// anything else.
func shown(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return strconv.Quote(n.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		return strconv.Quote(n.GetToken().Value)
	}
	return kindOf(n)
}

// number returns the value as a decimal number between the bounds, or
// complains.
func (s *source) number(n ast.Node, key string, least, most int) (int, bool) {
	remedy := fmt.Sprintf("write a number from %d to %d", least, most)
	i, ok := n.(*ast.IntegerNode)
	if !ok || i.GetToken().Type != token.IntegerType {
		s.fault(markOf(n), remedy, "%s must be a whole number, not %s", key, shown(n))
		return 0, false
	}
	value, err := strconv.Atoi(i.GetToken().Value)
	if err != nil || value < least || value > most {
		s.fault(markOf(n), remedy, "%s cannot be %s", key, i.GetToken().Value)
		return 0, false
	}
	return value, true
}
