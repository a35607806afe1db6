package policy

import (
	"fmt"
	"strings"
)

// Bounds of a request. A stock client stays far below them: its longest lines
// carry some hundred names.
const (
	// maxExec is the longest exec string, in bytes.
	maxExec = 64 << 10
	// maxWords is the most arguments in an exec string.
	maxWords = 4096
	// maxPath is the longest path, in bytes: PATH_MAX of Linux.
	maxPath = 4096
)

// word is one argument of an exec string, with what must be known of how it was
// written.
type word struct {
	// text is the argument with quotes and escapes removed. It holds any
	// byte but NUL.
	text string
	// pattern is text as a wildcard pattern, in which a backslash takes the
	// meaning from the byte after it; empty where nothing unquoted in the
	// word is a wildcard.
	pattern string
	// tilde says that the word begins with an unquoted ~.
	tilde bool
	// dots says that the wildcards match names with a leading dot: rsync's
	// own expansion of secluded arguments does, a shell's does not.
	dots bool
}

// tokenise splits an exec string into words, as a POSIX shell would if nothing
// in it were expanded: blanks separate; a backslash, single quotes and double
// quotes take the meaning from what they hold. That reads what rsync escapes,
// and what borg would split with Python's shlex, alike. What a shell would
// expand, redirect or run, and every control character that is not escaped, is
// refused by name; only wildcards and a leading ~ are kept as marks on the word.
func tokenise(exec string) ([]word, *Refusal) {
	if len(exec) > maxExec {
		return nil, tooLong("the command has %d bytes, at most %d are read", len(exec), maxExec)
	}
	if strings.IndexByte(exec, 0) >= 0 {
		return nil, malformed("nul-byte", "the command holds a NUL byte", "")
	}
	t := tokeniser{in: exec}
	for t.at < len(t.in) {
		if err := t.step(); err != nil {
			return nil, err
		}
		if len(t.words) > maxWords {
			return nil, tooLong("the command has more than %d arguments", maxWords)
		}
	}
	t.finish()
	return t.words, nil
}

// tokeniser is the state of one call of tokenise.
type tokeniser struct {
	in    string
	at    int
	words []word

	open    bool // a word has begun
	wild    bool // the word holds an unquoted wildcard
	tilde   bool
	text    strings.Builder
	pattern strings.Builder
}

// step reads one element: a blank, an escape, a quoted run or a plain byte.
func (t *tokeniser) step() *Refusal {
	c := t.in[t.at]
	t.at++
	switch {
	case c == ' ':
		t.finish()
		return nil
	case c == '\\':
		return t.escape()
	case c == '\'':
		return t.single()
	case c == '"':
		return t.double()
	case isControl(c):
		return controlCharacter(c)
	case strings.IndexByte("$`()<>&;|", c) >= 0:
		return shellSyntax(c, t.in)
	case c == '#' && !t.open:
		return shellSyntax(c, t.in)
	case c == '{' && bracesExpand(t.in[t.at:]):
		return malformed("brace-expansion", "braces in a path are not expanded here",
			"name each path, or escape the brace with a backslash")
	}
	t.plain(c)
	return nil
}

// plain adds an unquoted byte that is not special, or a mark.
func (t *tokeniser) plain(c byte) {
	switch {
	case c == '~' && !t.open:
		t.tilde = true
	case strings.IndexByte("*?[", c) >= 0:
		t.wild = true
	}
	t.open = true
	t.text.WriteByte(c)
	t.pattern.WriteByte(c)
}

// literal adds a byte that was quoted or escaped. Of the control characters
// these are the ones that rsync escapes in a name (safe_arg of 3.5.0).
func (t *tokeniser) literal(c byte) *Refusal {
	if isControl(c) && c != '\n' && c != '\r' && c != '\t' {
		return controlCharacter(c)
	}
	t.open = true
	t.text.WriteByte(c)
	writeLiteral(&t.pattern, c)
	return nil
}

// escape reads the byte after a backslash. A newline stays: rsync escapes one
// that is part of a name, where a shell would drop it.
func (t *tokeniser) escape() *Refusal {
	if t.at == len(t.in) {
		return unbalanced("a backslash at the end escapes nothing")
	}
	c := t.in[t.at]
	t.at++
	return t.literal(c)
}

// single reads up to the closing single quote.
func (t *tokeniser) single() *Refusal {
	end := strings.IndexByte(t.in[t.at:], '\'')
	if end < 0 {
		return unbalanced("a single quote is not closed")
	}
	run := t.in[t.at : t.at+end]
	t.at += end + 1
	t.open = true
	for i := range len(run) {
		if err := t.literal(run[i]); err != nil {
			return err
		}
	}
	return nil
}

// double reads up to the closing double quote.
func (t *tokeniser) double() *Refusal {
	t.open = true
	for t.at < len(t.in) {
		c := t.in[t.at]
		t.at++
		switch c {
		case '"':
			return nil
		case '$', '`':
			return shellSyntax(c, t.in)
		case '\\':
			if t.at < len(t.in) && strings.IndexByte("\"\\$`", t.in[t.at]) >= 0 {
				c = t.in[t.at]
				t.at++
			}
		}
		if err := t.literal(c); err != nil {
			return err
		}
	}
	return unbalanced("a double quote is not closed")
}

// finish ends the word that is open, if any.
func (t *tokeniser) finish() {
	if !t.open {
		return
	}
	w := word{text: t.text.String(), tilde: t.tilde}
	if t.wild {
		w.pattern = t.pattern.String()
	}
	t.words = append(t.words, w)
	t.open, t.wild, t.tilde = false, false, false
	t.text.Reset()
	t.pattern.Reset()
}

// bracesExpand reports whether bash would expand the braces whose inside begins
// s: there is an unescaped comma or ".." before the brace that closes them, in
// the same word.
func bracesExpand(s string) bool {
	list := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ' ':
			return false
		case ',':
			list = true
		case '.':
			list = list || strings.HasPrefix(s[i:], "..")
		case '}':
			return list
		}
	}
	return false
}

func isControl(c byte) bool { return c < 0x20 || c == 0x7f }

// writeLiteral writes c to a pattern so that it stands for itself.
func writeLiteral(b *strings.Builder, c byte) {
	if strings.IndexByte(`*?[]\`, c) >= 0 {
		b.WriteByte('\\')
	}
	b.WriteByte(c)
}

// Quote renders words as an exec string from which [Parse] reads the same
// words. A control character other than a tab, newline or return cannot be rendered;
// it comes out as it is, and Parse refuses it.
func Quote(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quoteWord(w)
	}
	return strings.Join(quoted, " ")
}

func quoteWord(w string) string {
	if w == "" {
		return "''"
	}
	var b strings.Builder
	for i := range len(w) {
		if !safeUnquoted(w[i]) {
			b.WriteByte('\\')
		}
		b.WriteByte(w[i])
	}
	return b.String()
}

// safeUnquoted reports whether c stands for itself anywhere in a word.
func safeUnquoted(c byte) bool {
	return c >= 0x80 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-_./,:=@%+", c) >= 0
}

func tooLong(format string, args ...any) *Refusal {
	return malformed("too-long", fmt.Sprintf(format, args...), "name a folder in place of its files, or use --files-from")
}

func unbalanced(what string) *Refusal {
	return malformed("tokenise-error", what, "quote the path again")
}

func controlCharacter(c byte) *Refusal {
	return malformed("control-character",
		fmt.Sprintf("the command holds the control character 0x%02x", c),
		"use rsync's -s (--secluded-args) for such names")
}

func shellSyntax(c byte, exec string) *Refusal {
	remedy := "there is no shell here: escape it with a backslash if it is part of a name"
	if strings.Contains(exec, "mkdir") && strings.Contains(exec, "rsync") {
		remedy = "there is no shell here: use rsync's --mkpath to make folders"
	}
	return malformed("shell-syntax", fmt.Sprintf("the command holds an unescaped %q", string(c)), remedy)
}

// malformed is the refusal of a request that is not understood.
func malformed(code, message, remedy string) *Refusal {
	return &Refusal{Code: code, Message: message, Remedy: remedy, Status: ExitRefused}
}
