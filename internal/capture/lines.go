package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// line is one line of the result. A member that is not valid UTF-8 moves to
// its Base64 twin, which JSON encodes as base64.
type line struct {
	Client         string   `json:"client"`
	Argv           []string `json:"argv,omitempty"`
	ArgvBase64     [][]byte `json:"argv_base64,omitempty"`
	Direction      string   `json:"direction"`
	Exec           string   `json:"exec,omitempty"`
	ExecBase64     []byte   `json:"exec_base64,omitempty"`
	Secluded       []string `json:"secluded,omitempty"`
	SecludedBase64 [][]byte `json:"secluded_base64,omitempty"`
}

// writeLines writes the lines, sorted and each once.
func writeLines(file string, lines []line) error {
	rendered := make([]string, 0, len(lines))
	for _, l := range lines {
		text, err := render(l)
		if err != nil {
			return err
		}
		rendered = append(rendered, text)
	}
	slices.Sort(rendered)
	rendered = slices.Compact(rendered)
	return os.WriteFile(file, []byte(strings.Join(rendered, "")), 0o644)
}

// render returns the line as JSON with its line end.
func render(l line) (string, error) {
	if !utf8.ValidString(l.Exec) {
		l.ExecBase64, l.Exec = []byte(l.Exec), ""
	}
	l.Argv, l.ArgvBase64 = bytesWhereNeeded(l.Argv)
	l.Secluded, l.SecludedBase64 = bytesWhereNeeded(l.Secluded)
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(l); err != nil {
		return "", err
	}
	return buffer.String(), nil
}

// bytesWhereNeeded returns the words as text, or as bytes if one of them is
// not valid UTF-8.
func bytesWhereNeeded(words []string) ([]string, [][]byte) {
	if !slices.ContainsFunc(words, func(word string) bool { return !utf8.ValidString(word) }) {
		return words, nil
	}
	raw := make([][]byte, len(words))
	for i, word := range words {
		raw[i] = []byte(word)
	}
	return nil, raw
}
