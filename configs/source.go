package configs

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// source is the text of one file, and where to complain about it.
type source struct {
	name   string
	text   string // valid UTF-8, lines end with LF, no byte order mark
	report *report
	// found is the number of problems of this file.
	found int
}

// mark is a place in a source, counted from 1; the zero mark is the whole file.
type mark struct{ line, column int }

// byteOrderMark is what some editors on Windows put in front of UTF-8.
const byteOrderMark = "\ufeff"

// newSource makes a source of the content of a file. It complains about what no
// configuration file may hold, and then returns false.
func newSource(name string, data []byte, r *report) (*source, bool) {
	text := strings.TrimPrefix(string(data), byteOrderMark)
	s := &source{name: name, text: strings.ReplaceAll(text, "\r\n", "\n"), report: r}
	return s, s.noPrivateKey() && s.noControls()
}

// noPrivateKey complains about a private key, which somebody pasted or copied
// in place of the public one. Nothing of the file is shown then.
func (s *source) noPrivateKey() bool {
	at := privateKeyIn(s.text)
	if at < 0 {
		return true
	}
	m := s.place(at)
	s.found++
	s.report.add(Problem{
		File: s.name, Line: m.line, Column: m.column, Message: privateKeyMessage, Remedy: privateKeyRemedy,
	})
	return false
}

// noControls complains about the first byte that is no text.
func (s *source) noControls() bool {
	for at, r := range s.text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s.text[at:], string(utf8.RuneError)):
			s.fault(s.place(at), "save the file as UTF-8", "the file is not UTF-8")
			return false
		case isControl(r) && r != '\n' && r != '\t':
			s.fault(s.place(at), "remove it", "the file holds the control character %U", r)
			return false
		}
	}
	return true
}

// isControl reports whether r is a C0 or C1 control character or DEL.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// place returns the mark of a byte of the text.
func (s *source) place(at int) mark {
	before := s.text[:at]
	start := strings.LastIndexByte(before, '\n') + 1
	return mark{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1}
}

// fault adds a problem at the mark.
func (s *source) fault(m mark, remedy, format string, args ...any) {
	s.found++
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = shorten(text)
		}
	}
	p := Problem{
		File: s.name, Line: m.line, Column: m.column,
		Message: fmt.Sprintf(format, args...), Remedy: remedy,
	}
	if m.line > 0 {
		p.Excerpt = excerpt(s.line(m.line), m.column)
	}
	s.report.add(p)
}

// maxShown bounds what a message repeats of a file.
const maxShown = 200

func shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "..."
}

// line returns the nth line, counted from 1.
func (s *source) line(n int) string {
	rest := s.text
	for ; n > 1; n-- {
		_, after, ok := strings.Cut(rest, "\n")
		if !ok {
			return ""
		}
		rest = after
	}
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// where returns file:line, for messages about what a file says.
func (s *source) where(m mark) string { return fmt.Sprintf("%s:%d", s.name, m.line) }

// markOf returns where a value begins.
func markOf(n ast.Node) mark {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return markOf(m.Values[0].Key) // its own token is the first colon
	}
	return markOfToken(n.GetToken())
}

func markOfToken(t *token.Token) mark {
	if t == nil || t.Position == nil {
		return mark{1, 1}
	}
	return mark{t.Position.Line, t.Position.Column}
}
