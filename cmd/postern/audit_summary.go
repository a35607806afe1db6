package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/audit"
)

// summaryHistory is how far back a summary looks for what is usual: long enough
// for weekly backups.
const summaryHistory = 90 * 24 * time.Hour

// summaryAsked is what a summary is asked for.
type summaryAsked struct{ since, until, client string }

func newAuditSummary(a *app, s *search) *cobra.Command {
	var asked summaryAsked
	cmd := &cobra.Command{
		Use:   "summary",
		Short: "Sum up by client and day, and tell what stands out",
		Long: `Summary tells what each client did on each day, in the time zone of this host: its
sessions, the addresses that it never came from before, its bytes, and its files:
created (+), changed (~), deleted (-) and sent (>). A session counts for the day on
which it ended. Below stand the attempts that nobody was let in for, by source.

What stands out comes first, measured by the 90 days before: a day on which a client
deleted or changed far more than on others (more than a hundred files, more than
twice what nine of ten days stay below, and far from the median), an address that it
never came from, an hour in which it never came, a borg repository that it asked to
delete, a lock that it asked to break. A client that was there on fewer than eight
days, or that is at another address or hour every few days, is no measure for
itself; summary names the former.

It begins with the day of --since. Times are written as for postern audit.`,
		Example: `  postern audit summary
  postern audit summary --since 2026-10-01 --until 2026-11-01 --client laptop
  postern audit summary --since yesterday --json`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error { return a.auditSummary(*s, asked, time.Now()) }),
	}
	cmd.Flags().StringVar(&asked.since, "since", "7d", "from the day of that `time` on")
	cmd.Flags().StringVar(&asked.until, "until", "", "before that `time`")
	cmd.Flags().StringVar(&asked.client, "client", "", "of the client of that `name` alone")
	a.jsonFlag(cmd)
	return cmd
}

// period makes the question of the flags.
func (s summaryAsked) period(now time.Time) (audit.Period, error) {
	p := audit.Period{Until: now, History: summaryHistory, Client: s.client}
	since, err := parseWhen(s.since, now)
	if err != nil {
		return p, usagef("--since: %w", err)
	}
	p.Since = time.Date(since.Year(), since.Month(), since.Day(), 0, 0, 0, 0, now.Location())
	if s.until != "" {
		if p.Until, err = parseWhen(s.until, now); err != nil {
			return p, usagef("--until: %w", err)
		}
	}
	if !p.Until.After(p.Since) {
		return p, usagef("--until %q is not after --since %q", s.until, s.since)
	}
	return p, nil
}

func (a *app) auditSummary(s search, asked summaryAsked, now time.Time) error {
	p, err := asked.period(now)
	if err != nil {
		return err
	}
	dir, err := a.folder(s)
	if err != nil {
		return err
	}
	summary, err := audit.Summarise(dir, p)
	if err != nil {
		return noTrail(dir, err)
	}
	return a.result(summary, func(w io.Writer) { printSummary(w, summary, widthOf(a.stdout)) })
}

func printSummary(w io.Writer, s audit.Summary, width int) {
	printStandouts(w, s, width)
	fmt.Fprintln(w)
	printDays(w, s.Days, width)
	if s.Attempts == nil {
		return
	}
	fmt.Fprintf(w, "\n%s\n", attemptsInWords(s.Attempts))
	rows := [][]string{{"SOURCE", "ATTEMPTS", "LAST", "WHAT"}}
	for _, source := range s.Attempts.Top {
		rows = append(rows, []string{source.Source, fmt.Sprint(source.Attempts), minute(source.Last), kindsInWords(source.Kinds)})
	}
	if len(rows) > 1 {
		table(w, fit(rows, width, "LAST"))
	}
}

// shownNew is how many names of clients too new to be judged stand in a line.
const shownNew = 10

func printStandouts(w io.Writer, s audit.Summary, width int) {
	rows := [][]string{{"TIME", "CLIENT", "WHAT STANDS OUT", "SESSION"}}
	for _, o := range s.Standouts {
		rows = append(rows, []string{minute(o.Time), o.Client, standoutInWords(o), cmp.Or(o.Session, o.Connection)})
	}
	if len(rows) > 1 {
		table(w, fit(rows, width, "SESSION"))
	} else {
		fmt.Fprintln(w, "nothing stands out")
	}
	if n := len(s.TooNew); n > 0 {
		names := strings.Join(s.TooNew[:min(n, shownNew)], ", ")
		if n > shownNew {
			names += fmt.Sprintf(" and %d more", n-shownNew)
		}
		fmt.Fprintf(w, "too little is known of %s to tell what is unusual\n", plain(names))
	}
}

// standoutInWords is what a client did, and what it usually does.
func standoutInWords(o audit.Standout) string {
	switch o.Kind {
	case audit.FilesDeleted:
		return fmt.Sprintf("deleted %s files; %s a day is usual", o.Value, o.Usual)
	case audit.FilesChanged:
		return fmt.Sprintf("changed %s files; %s a day is usual", o.Value, o.Usual)
	case audit.ObjectsDeleted:
		return fmt.Sprintf("asked borg to delete %s objects; %s a day is usual", o.Value, o.Usual)
	case audit.NewAddress:
		return fmt.Sprintf("came from %s; %s is usual", o.Value, o.Usual)
	case audit.UnusualHour:
		return fmt.Sprintf("came at %s; %s is usual", o.Value, o.Usual)
	case audit.RepositoryDeleted:
		return "asked borg to delete the repository " + o.Value
	case audit.LockBroken:
		return "asked borg to break the lock of " + o.Value
	}
	return o.Kind + ": " + o.Value
}

func printDays(w io.Writer, days []audit.ClientDay, width int) {
	if len(days) == 0 {
		fmt.Fprintln(w, "no sessions")
		return
	}
	rows := [][]string{{"CLIENT", "DAY", "SESSIONS", "FROM", "IN", "OUT", "FILES"}}
	for _, d := range days {
		from, files := "", filesInWords(d.Files)
		if n := len(d.NewAddresses); n > 0 {
			from = fmt.Sprintf("%d new", n)
		}
		if o := d.Objects; o != nil {
			files = strings.TrimSpace(fmt.Sprintf("%s objects +%d -%d", files, o.Put, o.Deleted))
		}
		rows = append(rows, []string{d.Client, d.Day, sessionsInWords(d), from, bytesOf(d.In), bytesOf(d.Out), files})
	}
	table(w, fit(rows, width, "OUT", "IN", "FROM"))
}

// sessionsInWords is how many there were, and what became of those that did not go
// well.
func sessionsInWords(d audit.ClientDay) string {
	words := fmt.Sprint(d.Sessions)
	if d.Failed > 0 {
		words += fmt.Sprintf(", %d failed", d.Failed)
	}
	if d.Refused > 0 {
		words += fmt.Sprintf(", %d refused", d.Refused)
	}
	return words
}

func attemptsInWords(a *audit.Attempts) string {
	if a.Total == 0 {
		return "nobody was refused who is no client"
	}
	return fmt.Sprintf("refused before anybody was let in: attempts %d, sources %d", a.Total, a.Sources)
}

// kindsInWords is how often what was refused, the most frequent first.
func kindsInWords(kinds map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(kinds[b], kinds[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", kinds[name], name)
	}
	return strings.Join(names, ", ")
}

// minute is a time without its seconds, for tables that are full.
func minute(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
