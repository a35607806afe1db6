package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong with the files.
type Problem struct {
	// File is the file or folder that is meant.
	File string `json:"file"`
	// Line and Column are counted from 1, the column in characters; 0 where
	// the whole file is meant.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Message says what is wrong: lower case, foreign text quoted.
	Message string `json:"message"`
	// Excerpt is the line and, below it, a caret under the column. It is empty
	// where the file may hold a secret.
	Excerpt string `json:"excerpt,omitempty"`
	// Remedy is what to change.
	Remedy string `json:"remedy"`
}

// String returns the problem as file:line:column: message, followed by the
// excerpt and the remedy, indented.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Brief() + "\n")
	for line := range strings.Lines(p.Excerpt) {
		b.WriteString("    " + line)
	}
	if p.Excerpt != "" {
		b.WriteString("\n")
	}
	b.WriteString("  remedy: " + visible(p.Remedy))
	return b.String()
}

// Brief returns the first line of the problem: file:line:column: message.
func (p Problem) Brief() string {
	place := visible(p.File)
	if p.Line > 0 {
		place += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	return place + ": " + visible(p.Message)
}

// Problems is everything that is wrong with the files, in the order of the
// files and lines. It is an error.
type Problems []Problem

// Error returns every problem.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// report gathers the problems of all files.
type report struct{ problems Problems }

func (r *report) add(p Problem) { r.problems = append(r.problems, p) }

// about adds a problem of a whole file or folder.
func (r *report) about(path, remedy, format string, args ...any) {
	r.add(Problem{File: path, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// err returns the problems as an error, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.problems
}

// Lines longer than excerptWidth are shown in part, excerptLead characters of
// which stand before the column: a key is longer than any terminal is wide.
const (
	excerptWidth = 100
	excerptLead  = 30
)

// excerpt returns the line with a caret below the column.
func excerpt(line string, column int) string {
	runes := []rune(visible(line))
	at := min(max(column-1, 0), len(runes))
	lead, tail := "", ""
	if len(runes) > excerptWidth {
		if at > excerptLead {
			runes, lead = runes[at-excerptLead:], "..."
			at = excerptLead
		}
		if len(runes) > excerptWidth {
			runes, tail = runes[:excerptWidth], "..."
		}
	}
	return lead + string(runes) + tail + "\n" + strings.Repeat(" ", len(lead)+at) + "^"
}

// visible returns the text with everything that could steer a terminal
// replaced, character by character, so that columns stay.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
