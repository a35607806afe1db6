package main

import (
	"bytes"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// logWriter returns where the gateway's records go: to w as they are, or made
// readable when w is a terminal; those below the level are left out.
func logWriter(w io.Writer, level string) io.Writer {
	least, err := zerolog.ParseLevel(level)
	if err != nil {
		least = zerolog.InfoLevel // cannot happen: the configuration was checked
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		// The console writer prints messages as they are. That is safe: what
		// came from outside stands in fields, which it quotes.
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.DateTime, TimeLocation: time.Local}
	}
	return &levelWriter{to: w, least: least}
}

// levelWriter leaves out the records below a level. Each Write is one record,
// and begins with its level.
type levelWriter struct {
	to    io.Writer
	least zerolog.Level
}

// Write implements [io.Writer].
func (w *levelWriter) Write(record []byte) (int, error) {
	if levelOf(record) < w.least {
		return len(record), nil
	}
	return w.to.Write(record)
}

// levelOf reads the level of a record. One that does not say it is never left
// out.
func levelOf(record []byte) zerolog.Level {
	rest, ok := bytes.CutPrefix(record, []byte(`{"level":"`))
	word, _, closed := bytes.Cut(rest, []byte(`"`))
	level, err := zerolog.ParseLevel(string(word))
	if !ok || !closed || err != nil {
		return zerolog.PanicLevel
	}
	return level
}
