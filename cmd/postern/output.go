package main

// The rules of output. Everything that a command prints goes through here.
//
//   - Standard output is the result, and nothing else: it can be piped.
//   - Standard error is everything else: what is wrong, what to do next, what
//     was assumed.
//   - With --json the result is one JSON value and a line end. It says no less
//     than the text. Hints for people are left out of it.
//   - Text that came from elsewhere (a key's comment, a path, what a client
//     sent) is printed so that it cannot steer a terminal.
//   - An error is one line that begins with "postern: ", in lower case, and
//     says what to change. Problems of a file keep their excerpt.
//   - The exit status is 0 when it worked and the answer is yes, 1 when it
//     failed or the answer is no, 2 when it was called wrongly.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// The exit statuses.
const (
	exitOK    = 0
	exitNo    = 1
	exitUsage = 2
)

// errNo ends a command whose answer is no: the answer is printed already.
var errNo = errors.New("the answer is no")

// output is where a command prints to.
type output struct {
	stdout, stderr io.Writer
	json           bool
}

// result prints the result: value as JSON when that was asked for, else what
// text prints.
func (o *output) result(value any, text func(w io.Writer)) error {
	if o.json {
		e := json.NewEncoder(o.stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(value)
	}
	var b strings.Builder
	text(&b)
	_, err := io.WriteString(o.stdout, b.String())
	return err
}

// hint tells a person something that is not the result.
func (o *output) hint(format string, args ...any) {
	fmt.Fprintf(o.stderr, format+"\n", args...)
}

// errorLine prints one error.
func (o *output) errorLine(err error) {
	fmt.Fprintf(o.stderr, "postern: %v\n", err)
}

// table prints rows in columns. Cells are made safe for a terminal. What w says
// of a failed write is for whoever made w.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, columnGap, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	t.Flush()
}

// plain returns s as it is when a terminal would only show it, and quoted when
// it holds anything that a terminal would obey.
func plain(s string) string {
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// shellWord returns s as one word for a shell.
func shellWord(s string) string {
	safe := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+:@,=%", r))
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
