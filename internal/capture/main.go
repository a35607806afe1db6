package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if filepath.Base(os.Args[0]) == standInName {
		os.Exit(standIn(os.Args[1:], os.Getenv(recordVariable), os.Stdin))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

// binaries collects the VERSION=PATH values of a flag.
type binaries []binary

// binary is one client program and the version that it must say it is.
type binary struct{ version, path string }

// String is part of [flag.Value].
func (b *binaries) String() string { return fmt.Sprint(*b) }

// Set is part of [flag.Value].
func (b *binaries) Set(text string) error {
	version, path, ok := strings.Cut(text, "=")
	if !ok || version == "" || path == "" {
		return fmt.Errorf("%q is not VERSION=PATH", text)
	}
	absolute, err := filepath.Abs(path) // the clients run in another folder
	if err != nil {
		return err
	}
	*b = append(*b, binary{version, absolute})
	return nil
}

func run(args []string) error {
	flags := flag.NewFlagSet("capture", flag.ContinueOnError)
	var rsyncs, borgs binaries
	flags.Var(&rsyncs, "rsync", "an rsync client as `VERSION=PATH`; may be repeated")
	flags.Var(&borgs, "borg", "a borg client as `VERSION=PATH`; may be repeated")
	out := flags.String("out", "policy/testdata/corpus", "the `folder` of the result")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(rsyncs)+len(borgs) == 0 {
		return errors.New("no client named; give --rsync VERSION=PATH or --borg VERSION=PATH")
	}
	bench, err := newBench()
	if err != nil {
		return err
	}
	defer bench.remove()
	for _, client := range rsyncs {
		if err := bench.write(*out, "rsync", client, rsyncCalls, rsyncHelp); err != nil {
			return err
		}
	}
	for _, client := range borgs {
		if err := bench.write(*out, "borg", client, borgCalls, borgHelp); err != nil {
			return err
		}
	}
	return nil
}
