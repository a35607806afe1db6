package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Request is one exec string, split into words. The zero value is a request
// for nothing.
type Request struct {
	exec  string
	words []word
	// dropped are the assignments before the program's name that have no
	// effect here.
	dropped []string
	// secluded are the arguments that came on standard input.
	secluded []word
	// received says that secluded was read.
	received bool
}

// harmlessAssignment reports whether stock clients put this variable before the
// program's name. It is dropped: no child gets a variable from a client.
// BORG_HOSTNAME_IS_UNIQUE is what borg 1.0 and 1.1 send (remote.py of 1.1.18).
func harmlessAssignment(name string) bool {
	return name == "LANG" || name == "BORG_HOSTNAME_IS_UNIQUE" || strings.HasPrefix(name, "LC_")
}

// Parse splits an exec string into a request. It expands nothing and decides
// nothing but that the string is understood.
func Parse(exec string) (Request, *Refusal) {
	words, refusal := tokenise(exec)
	if refusal != nil {
		return Request{exec: exec}, refusal
	}
	r := Request{exec: exec, words: words}
	for len(r.words) > 0 {
		name, _, ok := strings.Cut(r.words[0].text, "=")
		if !ok || strings.Contains(name, "/") {
			break
		}
		if !harmlessAssignment(name) {
			return r, malformed("assignment", fmt.Sprintf("the command sets the variable %q", name),
				"leave it out: clients set no variables here")
		}
		r.dropped = append(r.dropped, r.words[0].text)
		r.words = r.words[1:]
	}
	if len(r.words) == 0 {
		return r, malformed("empty-command", "the command is empty", "point rsync or borg at this host")
	}
	return r, nil
}

// Exec returns the exec string as the client sent it.
func (r Request) Exec() string { return r.exec }

// Words returns the request's words with quotes and escapes removed, and with
// the arguments that came on standard input after them.
func (r Request) Words() []string {
	words := make([]string, 0, len(r.words)+len(r.secluded))
	for _, w := range slices.Concat(r.words, r.secluded) {
		words = append(words, w.text)
	}
	return words
}

// Dropped returns the assignments before the program's name that have no effect.
func (r Request) Dropped() []string { return slices.Clone(r.dropped) }

// Secluded reports whether the rest of the arguments comes on standard input
// (rsync's -s): NUL-separated, the first "rsync", ended by an empty item. It
// is false once they were added.
func (r Request) Secluded() bool {
	if r.received || len(r.words) < 2 || r.words[1].text != "--server" ||
		!strings.HasPrefix(path.Base(r.words[0].text), "rsync") {
		return false
	}
	return slices.ContainsFunc(r.words[2:], asksSecluded)
}

func asksSecluded(w word) bool {
	if w.text == "--secluded-args" || w.text == "--protect-args" {
		return true
	}
	letters, ok := strings.CutPrefix(w.text, "-")
	if !ok || strings.HasPrefix(letters, "-") {
		return false
	}
	letters, _, _ = strings.Cut(letters, "e")
	return strings.Contains(letters, "s")
}

// WithArguments returns the request with the arguments that came on standard
// input, the first of them the program's name. rsync expands wildcards in them
// itself, so they are marked here as a shell's would be.
func (r Request) WithArguments(args []string) (Request, *Refusal) {
	if len(args) == 0 || args[0] != "rsync" {
		return r, malformed("secluded-arguments", "the arguments on standard input do not begin with rsync",
			"use a stock rsync")
	}
	if len(args) > maxWords {
		return r, tooLong("there are more than %d arguments on standard input", maxWords)
	}
	r.received = true
	r.secluded = nil
	for _, arg := range args[1:] {
		if strings.IndexByte(arg, 0) >= 0 {
			return r, malformed("nul-byte", "an argument on standard input holds a NUL byte", "")
		}
		r.secluded = append(r.secluded, secludedWord(arg))
	}
	return r, nil
}

// secludedWord marks the wildcards of an argument the way rsync reads them: a
// path component with a wildcard is a pattern, in which a backslash escapes;
// one without is literal, backslashes included.
func secludedWord(arg string) word {
	w := word{text: arg, dots: true, tilde: arg == "~" || strings.HasPrefix(arg, "~/")}
	if !strings.ContainsAny(arg, "*?[") {
		return w
	}
	components := strings.Split(arg, "/")
	for i, c := range components {
		if !strings.ContainsAny(c, "*?[") {
			components[i] = escapePattern(c)
		}
	}
	w.pattern = strings.Join(components, "/")
	return w
}

func escapePattern(s string) string {
	var b strings.Builder
	for i := range len(s) {
		writeLiteral(&b, s[i])
	}
	return b.String()
}
