package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// optionCalls turns a table of options into calls. Each line holds the words
// of one call, to which the usual source and destination are added, for a push
// and for a pull. A word in double quotes is read as Go reads it. After a "|"
// come marks: push or pull (only that), local, since=VERSION. Empty lines and
// lines that start with "#" are skipped.
func optionCalls(table string) []call {
	var calls []call
	for text := range strings.Lines(table) {
		words, marks := splitLine(text)
		if len(words) == 0 {
			continue
		}
		for _, direction := range []string{"push", "pull"} {
			if other(marks, direction) {
				continue
			}
			calls = append(calls, marked(rsyncCall(direction, words), marks))
		}
	}
	return calls
}

// wholeCalls turns a table of whole command lines into calls. The first word
// of a line is the direction, the rest what the user types.
func wholeCalls(table string) []call {
	var calls []call
	for text := range strings.Lines(table) {
		words, marks := splitLine(text)
		if len(words) == 0 {
			continue
		}
		calls = append(calls, marked(call{argv: words[1:], direction: words[0]}, marks))
	}
	return calls
}

// rsyncCall is an rsync with the options, the usual source and destination.
// Assignments among the options go before the program's name.
func rsyncCall(direction string, options []string) call {
	ends := map[string][]string{"push": {"src/", "nas:dst/"}, "pull": {"nas:src/", "dst/"}}
	at := slices.IndexFunc(options, func(word string) bool { return strings.HasPrefix(word, "-") })
	argv := slices.Concat(options[:at], []string{"rsync"}, options[at:], ends[direction])
	return call{argv: argv, direction: direction}
}

// other reports whether the marks limit a line to the other direction.
func other(marks []string, direction string) bool {
	limited := slices.Contains(marks, "push") || slices.Contains(marks, "pull")
	return limited && !slices.Contains(marks, direction)
}

func marked(c call, marks []string) call {
	c.local = slices.Contains(marks, "local")
	for _, mark := range marks {
		if version, ok := strings.CutPrefix(mark, "since="); ok {
			c.since = version
		}
	}
	return c
}

// splitLine returns the words and the marks of a line of a table.
func splitLine(text string) (words, marks []string) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "# ") {
		return nil, nil
	}
	for text != "" {
		var word string
		word, text = cutWord(text)
		if word == "|" {
			return words, strings.Fields(text)
		}
		words = append(words, word)
	}
	return words, nil
}

// cutWord cuts the first word off, read as Go reads it where it is quoted.
// The tables are part of the program, so a bad one is a programming error.
func cutWord(text string) (word, rest string) {
	if !strings.HasPrefix(text, `"`) {
		word, rest, _ = strings.Cut(text, " ")
		return word, strings.TrimLeft(rest, " ")
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		panic(fmt.Sprintf("table: %v in %q", err, text))
	}
	word, err = strconv.Unquote(quoted)
	if err != nil {
		panic(fmt.Sprintf("table: %v in %q", err, text))
	}
	return word, strings.TrimLeft(text[len(quoted):], " ")
}
