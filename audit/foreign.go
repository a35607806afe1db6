package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// maxForeign is how many bytes of one foreign text a record holds: a path of
// PATH_MAX fits. What is cut is represented by its length and hash.
const maxForeign = 4 << 10

// foreign adds a text that somebody else chose. A text that is cut gets the
// fields KEY_bytes and KEY_sha256 with the length and hash of the whole; one
// that holds what a terminal or a JSON reader would not show as it is gets
// KEY_escaped, and is written as escape says.
func foreign(e *zerolog.Event, key, text string) {
	if len(text) > maxForeign {
		sum := sha256.Sum256([]byte(text))
		e.Int(key+"_bytes", len(text)).Str(key+"_sha256", hex.EncodeToString(sum[:]))
		text = text[:maxForeign]
	}
	if !presentable(text) {
		e.Bool(key+"_escaped", true)
		text = escape(text)
	}
	e.Str(key, text)
}

// foreignWords adds a list of words that somebody else chose, under the same
// rules as foreign: the limit is for the sum, KEY_count says how many there
// were, and KEY_sha256 is the hash of the words with a NUL behind each.
func foreignWords(e *zerolog.Event, key string, words []string) {
	kept, escaped := make([]string, 0, len(words)), false
	room := maxForeign
	for _, word := range words {
		if room -= len(word) + 1; room < 0 {
			break
		}
		kept = append(kept, word)
		escaped = escaped || !presentable(word)
	}
	if len(kept) < len(words) {
		sum := sha256.Sum256([]byte(strings.Join(words, "\x00") + "\x00"))
		e.Int(key+"_count", len(words)).Str(key+"_sha256", hex.EncodeToString(sum[:]))
	}
	if escaped {
		e.Bool(key+"_escaped", true)
		for i, word := range kept {
			kept[i] = escape(word)
		}
	}
	e.Strs(key, kept)
}

// counted adds how often each kind came, as two lists in one order.
func counted(e *zerolog.Event, counts map[string]int) {
	kinds := slices.Sorted(maps.Keys(counts))
	times := make([]int, len(kinds))
	for i, kind := range kinds {
		times[i] = counts[kind]
	}
	foreignWords(e, "kinds", kinds)
	e.Ints("times", times)
}

// presentable reports whether the text can stand in a record as it is: JSON
// escapes the control characters of ASCII and gives them back.
func presentable(text string) bool {
	for _, r := range text {
		if r >= utf8.RuneSelf && !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// escape writes bytes that are not UTF-8 as \xNN, characters that do not print
// as \u{N}, and therefore a backslash as two, so that the text comes back
// exactly. ASCII is left to JSON.
func escape(text string) string {
	var out strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[0])
		case r == '\\':
			out.WriteString(`\\`)
		case r >= utf8.RuneSelf && !unicode.IsPrint(r):
			fmt.Fprintf(&out, `\u{%x}`, r)
		default:
			out.WriteRune(r)
		}
		text = text[size:]
	}
	return out.String()
}
