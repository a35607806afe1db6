package sender

import (
	"context"
	"io"

	"postern/audit"
)

// direct is a way that has what it was given.
type direct struct{ got uint64 }

func (d *direct) arrived() (uint64, error) { return d.got, nil } //nolint:unparam // another way can fail here
func (d *direct) lost() <-chan error       { return nil }
func (d *direct) finish() error            { return nil }
func (d *direct) ended(error) uint64       { return d.got }

// Stdout returns the destination of a standard output: a line of JSON for each
// record.
func Stdout(to io.Writer) Destination { return &stdout{to: to} }

type stdout struct {
	to io.Writer
	// torn says that a line was written in part.
	torn bool
}

func (s *stdout) String() string { return "stdout" }

func (s *stdout) open(_ context.Context, _ pace, from uint64) (way, error) {
	return &lines{direct{from}, s}, nil
}

// lines is a way to standard output.
type lines struct {
	direct
	*stdout
}

func (l *lines) send(r audit.Record) error {
	var text []byte
	if l.torn {
		text = append(text, '\n')
	}
	n, err := l.to.Write(append(append(text, r.Line...), '\n'))
	if err != nil {
		l.torn = l.torn || n > 0
		return err
	}
	l.torn, l.got = false, r.Number
	return nil
}

// close leaves standard output open: it is the process's.
func (l *lines) close() {}
