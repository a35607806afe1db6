package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"postern/audit"
	"postern/policy"
)

func newAuditShow(a *app, s *search) *cobra.Command {
	depth := 0
	cmd := &cobra.Command{
		Use:   "show SESSION",
		Short: "Show everything about one session",
		Long: `Show prints all records of one session and of the connection that it came over, and
the files that it touched as a tree.`,
		Example: `  postern audit show 6ad41b0511e4b7a8.1
  postern audit show 6ad41b0511e4b7a8.1 --depth 2`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(args []string) error {
			if depth < 0 {
				return usagef("--depth %d: name a number from 0 on", depth)
			}
			return a.auditShow(*s, args[0], depth)
		}),
	}
	cmd.Flags().IntVar(&depth, "depth", 0, "show the tree of files so many `folders` deep; 0 shows all of it")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) auditShow(s search, session string, depth int) error {
	dir, err := a.folder(s)
	if err != nil {
		return err
	}
	records, err := audit.SessionRecords(dir, session)
	if err != nil {
		return noTrail(dir, err)
	}
	if len(records) == 0 {
		return fmt.Errorf("there is no session %q in %s; see postern audit", session, dir)
	}
	return a.result(lines(records), func(w io.Writer) { printAll(w, records, depth) })
}

// printAll prints records, and what those of files say as one tree behind them.
func printAll(w io.Writer, records []audit.Record, depth int) {
	others, root, tree := treeOf(records)
	told := map[string]string{}
	for i, r := range others {
		if i > 0 {
			fmt.Fprintln(w)
		}
		printRecord(w, r, told)
	}
	if root != "" {
		fmt.Fprintln(w)
		printTree(w, root, tree, depth)
	}
}

// printRecord prints every field of a record, in its order, but what told has of the
// connection already.
func printRecord(w io.Writer, r audit.Record, told map[string]string) {
	fmt.Fprintf(w, "%s  %s\n", localTime(r.Time), plain(r.Event))
	d := json.NewDecoder(strings.NewReader(string(r.Line)))
	d.UseNumber()
	var rows [][]string
	// The first token opens the record; a record that was read can be read.
	for _, _ = d.Token(); d.More(); {
		key, err := d.Token()
		if err != nil {
			break
		}
		var value any
		if d.Decode(&value) != nil {
			break
		}
		name := fmt.Sprint(key)
		text := shownValue(name, value)
		if inHeadline(name) || told[name] == text && ofConnection(name) {
			continue
		}
		told[name] = text
		rows = append(rows, []string{"", name, text})
	}
	table(w, rows)
}

// ofConnection reports whether a field is the same in all records of a connection.
func ofConnection(name string) bool {
	switch name {
	case "connection", "address", "proxy", "login", "software", "client", "key", "certificate":
		return true
	}
	return false
}

// inHeadline reports whether a field stands in the headline, or says nothing to a
// reader.
func inHeadline(name string) bool {
	switch name {
	case "level", "time", "message", "before":
		return true
	}
	return false
}

// shownValue is a value on one line: lists of words as a shell would take them.
func shownValue(name string, value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	words := make([]string, len(list))
	for i, word := range list {
		words[i] = fmt.Sprint(word)
	}
	if name == "args" || name == "arguments" {
		return policy.Quote(words)
	}
	return strings.Join(words, ", ")
}

// followPause is how often a trail is looked at for what is new.
const followPause = 500 * time.Millisecond

// follow prints the wanted records as they come, until somebody interrupts it.
func (a *app) follow(dir string, q audit.Query) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return audit.Follow(ctx, dir, q, followPause, func(r audit.Record) error {
		if a.json {
			_, err := fmt.Fprintf(a.stdout, "%s\n", r.Line)
			return err
		}
		_, err := fmt.Fprintf(a.stdout, "%s  %-20s %-12s %-15s %s\n", localTime(r.Time), plain(r.Event), plain(r.Client), host(r.Address), plain(about(r)))
		return err
	})
}
