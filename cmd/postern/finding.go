package main

import (
	"fmt"
	"io"

	"postern/configs"
)

// severity says how bad a finding is.
type severity string

// An error keeps the gateway from doing its job or opens it to others; a
// warning is for the operator to judge.
const (
	isError   severity = "error"
	isWarning severity = "warning"
)

// finding is one thing that is wrong with the host or a file. It is an error.
type finding struct {
	Severity severity `json:"severity"`
	configs.Problem
}

// mistake and caution make a finding about a file, a program or a client.
func mistake(subject, message, remedy string) finding {
	return finding{isError, configs.Problem{File: subject, Message: message, Remedy: remedy}}
}

func caution(subject, message, remedy string) finding {
	return finding{isWarning, configs.Problem{File: subject, Message: message, Remedy: remedy}}
}

// Error returns the finding on one line.
func (f finding) Error() string {
	return fmt.Sprintf("%s: %s; %s", plain(f.File), f.Message, f.Remedy)
}

// print writes the finding on lines of its own.
func (f finding) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", f.Severity, f.Problem)
}

// count returns the number of findings of that severity.
func count(findings []finding, s severity) int {
	n := 0
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}
