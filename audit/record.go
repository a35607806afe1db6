package audit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Record is what all readers of a trail look at in one of its records. Line is
// the whole of it.
type Record struct {
	Level   string    `json:"level"`
	Time    time.Time `json:"time"`
	Number  uint64    `json:"number"`
	Event   string    `json:"message"`
	Address string    `json:"address"`
	Login   string    `json:"login"`
	Client  string    `json:"client"`
	Key     string    `json:"key"`
	// Fingerprint is a key that was refused.
	Fingerprint string `json:"fingerprint"`
	Connection  string `json:"connection"`
	Software    string `json:"software"`

	// Gateway is the one that the record is about, or that decided on the session,
	// and Beside are those that wrote the trail at the same time.
	Gateway uint64   `json:"gateway"`
	Beside  []uint64 `json:"beside"`

	Session     string   `json:"session"`
	Request     string   `json:"request"`
	Arguments   []string `json:"arguments"`
	Tool        string   `json:"tool"`
	Direction   string   `json:"direction"`
	Verdict     string   `json:"verdict"`
	Code        string   `json:"code"`
	Why         string   `json:"why"`
	Detail      string   `json:"detail"`
	Rules       []string `json:"rules"`
	Program     string   `json:"program"`
	Args        []string `json:"args"`
	Dir         string   `json:"dir"`
	Confinement string   `json:"confinement"`
	User        string   `json:"user"`
	Stores      bool     `json:"stores"`

	Status  *int    `json:"status"`
	Signal  string  `json:"signal"`
	Seconds float64 `json:"seconds"`
	In      int64   `json:"in"`
	Out     int64   `json:"out"`
	Failure string  `json:"failure"`
	// Lost says that nobody saw the session end.
	Lost bool `json:"lost"`

	Created    int64 `json:"created"`
	Changed    int64 `json:"changed"`
	Deleted    int64 `json:"deleted"`
	Sent       int64 `json:"sent"`
	Unrecorded int64 `json:"unrecorded"`
	Unlogged   bool  `json:"unlogged"`

	// Policy is the hash of files that were loaded, and Problems what is wrong
	// with others.
	Policy   string   `json:"policy"`
	Problems []string `json:"problems"`
	// Note, Command, File and By are of an administrative change.
	Note    string `json:"note"`
	Command string `json:"command"`
	File    string `json:"file"`
	By      string `json:"by"`

	Line json.RawMessage `json:"-"`
}

// startedAlone reports whether the record is of the start of a gateway beside which
// there was no other: what went on before has come to its end.
func (r Record) startedAlone() bool { return r.Event == startedEvent && len(r.Beside) == 0 }

// Unescape gives back a text that a record holds with KEY_escaped, byte for byte.
func Unescape(text string) (string, error) {
	var out strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '\\')
		if i < 0 {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:i])
		text = text[i+1:]
		n, err := unescapeOne(&out, text)
		if err != nil {
			return "", err
		}
		text = text[n:]
	}
	return out.String(), nil
}

// unescapeOne writes what the text behind a backslash stands for, and returns its
// length.
func unescapeOne(out *strings.Builder, text string) (int, error) {
	switch {
	case strings.HasPrefix(text, `\`):
		out.WriteByte('\\')
		return 1, nil
	case strings.HasPrefix(text, "x") && len(text) >= 3:
		b, err := strconv.ParseUint(text[1:3], 16, 8)
		out.WriteByte(byte(b))
		return 3, err
	case strings.HasPrefix(text, "u{"):
		digits, _, closed := strings.Cut(text[2:], "}")
		r, err := strconv.ParseUint(digits, 16, 32)
		if !closed || err != nil {
			break
		}
		out.WriteRune(rune(r))
		return 3 + len(digits), nil
	}
	return 0, fmt.Errorf("%.12q is no escape of a record", `\`+text)
}
