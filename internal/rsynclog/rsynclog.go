// Package rsynclog reads the log that rsync --server writes beside its work, in a
// format of ours: a line for each file that it touched.
//
// The log has other lines too, and before 3.5.0 rsync writes names into it as they
// are, line feeds included. So a line of ours begins and ends with a word that the
// client cannot know. What stands between is taken apart from the left, with the
// name last.
package rsynclog

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// The marks around a line of ours, behind the secret, and what stands between its
// fields: a byte that rsync escapes where it escapes anything, so that each line
// tells whether its name is escaped.
const (
	opens     = "+"
	closes    = "-"
	separator = "\x1f"
	escaped   = `\#037`
)

// Format is the value of --log-file-format for a secret, which must be a word of
// letters and digits. A sender tells paths from its root or its working directory
// on, and a receiver names below its destination.
//
// There is one name in it, since rsync has room for one, and gives up in the
// middle of a transfer when two do not fit.
func Format(secret string, sending bool) string {
	name := "%n"
	if sending {
		name = "%f"
	}
	return secret + opens + separator + strings.Join([]string{"%o", "%i", "%l", name}, separator) + secret + closes
}

// maxMessage is the longest that rsync logs: of what is longer it writes that
// much, without the line feed (log.c, rwrite).
const maxMessage = 2047

// Reader finds the items in a log. It is not safe for concurrent use.
type Reader struct {
	opens, closes []byte
	item          func(Item)
	// rest is what no line was found in yet.
	rest []byte
}

// NewReader returns a reader of a log in the format with the secret. It calls item
// with each line of ours.
func NewReader(secret string, item func(Item)) *Reader {
	return &Reader{opens: []byte(secret + opens), closes: []byte(secret + closes), item: item}
}

// Write reads the next piece of the log.
func (r *Reader) Write(p []byte) {
	r.rest = append(r.rest, p...)
	log := r.rest
	for more := true; more; {
		log, more = r.line(log)
	}
	r.rest = append(r.rest[:0], log...)
}

// Close reads what is left of a log that has ended.
func (r *Reader) Close() {
	if _, text, found := bytes.Cut(r.rest, r.opens); found {
		r.take(text, true)
	}
	r.rest = nil
}

// line takes the first line of ours, and returns what comes behind it. Where there
// is no whole one yet, it returns what the beginning of one may be in.
func (r *Reader) line(log []byte) (rest []byte, found bool) {
	begin := bytes.Index(log, r.opens)
	if begin < 0 {
		return log[max(len(log)-len(r.opens)+1, 0):], false
	}
	text := log[begin+len(r.opens):]
	message := text[:min(len(text), maxMessage)]
	end, next := bytes.Index(message, r.closes), bytes.Index(message, r.opens)
	switch {
	case end >= 0 && (next < 0 || end < next):
		r.take(text[:end], false)
		return text[end+len(r.closes):], true
	case next >= 0:
		r.take(text[:next], true)
		return text[next:], true
	case len(message) == maxMessage:
		r.take(message, true)
		return text[maxMessage:], true
	}
	return log[begin:], false
}

// take reads the fields of a line.
func (r *Reader) take(text []byte, cut bool) {
	if cut {
		text = text[:min(len(text), maxMessage-len(r.opens))]
		text = headline.ReplaceAll(text, nil)
	}
	between, unescape := separator, false
	if bytes.HasPrefix(text, []byte(escaped)) {
		between, unescape = escaped, true
	}
	fields := strings.SplitN(string(text), between, 5)
	if len(fields) != 5 || fields[0] != "" {
		return
	}
	size, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		return
	}
	item := Item{Operation: fields[1], Changes: fields[2], Size: size, Name: fields[4], Cut: cut}
	if unescape {
		item.Name = unescaped(item.Name)
	}
	r.item(item)
}

// headline is what rsync writes before each line, which here follows one that was
// cut.
var headline = regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] $`)

var escapes = regexp.MustCompile(`\\#[0-3][0-7]{2}`)

// unescaped gives back a name that rsync escaped: three octal digits for a byte.
func unescaped(name string) string {
	return escapes.ReplaceAllStringFunc(name, func(text string) string {
		n, _ := strconv.ParseUint(text[2:], 8, 8) // the expression lets nothing else pass
		return string([]byte{byte(n)})
	})
}
