package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"postern/audit"
	"postern/policy"
)

// auditFolder is where a gateway with this state keeps its trail.
func auditFolder(state string) string { return filepath.Join(state, "audit") }

// search is what audit is asked for.
type search struct {
	client, key, address, event, decision, text, path, since, until string
	limit                                                           int
	dir                                                             string
	follow                                                          bool
}

func newAudit(a *app) *cobra.Command {
	var s search
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read and verify the trail of what happened",
		Long: `Audit lists the newest sessions: when, who, from where, what was asked for, what
became of it, and how many files an rsync created (+), changed (~), deleted (-) and
sent (>). On a narrow terminal some columns are left out. With --event it lists
records of another kind, such as "key refused"; --event all takes every kind.

Times for --since and --until are 30m, 12h, 7d or 4w ago, today, yesterday, a day
such as 2026-10-18, or a time such as "2026-10-18 03:00".

The trail is kept in the folder audit of the gateway's state: one line of JSON for
each record, chained by hashes and signed.`,
		Example: `  postern audit --client laptop --since 7d
  postern audit --decision deny --since yesterday --json
  postern audit --path /volume1/Backups/laptop/thesis.tex
  postern audit --follow
  postern audit summary --since 7d
  postern audit show 6ad41b0511e4b7a8.1
  postern audit verify`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error { return a.audit(s, time.Now()) }),
	}
	cmd.PersistentFlags().StringVar(&s.dir, "dir", "", "read the trail in this `folder`, such as a copy, without a configuration")
	cmd.Flags().StringVar(&s.client, "client", "", "of the client of that `name`")
	cmd.Flags().StringVar(&s.key, "key", "", "with the key of that `fingerprint`")
	cmd.Flags().StringVar(&s.address, "address", "", "from that `address` or network")
	cmd.Flags().StringVar(&s.event, "event", "", "records of that `kind` instead of sessions")
	cmd.Flags().StringVar(&s.decision, "decision", "", "sessions with that `verdict`: allow, deny or answer")
	cmd.Flags().StringVar(&s.text, "text", "", "records that hold the `text`")
	cmd.Flags().StringVar(&s.path, "path", "", "sessions that touched that `file`, or one below that folder or borg repository")
	cmd.Flags().StringVar(&s.since, "since", "", "not before that `time`")
	cmd.Flags().StringVar(&s.until, "until", "", "before that `time`")
	cmd.Flags().IntVarP(&s.limit, "limit", "n", 20, "at most that many, the newest")
	cmd.Flags().BoolVarP(&s.follow, "follow", "f", false, "go on with what happens, one record a line")
	a.jsonFlag(cmd)
	cmd.AddCommand(newAuditShow(a, &s), newAuditSummary(a, &s), newAuditVerify(a, &s), newAuditCheckpoint(a, &s))
	return cmd
}

// folder is the trail's.
func (a *app) folder(s search) (string, error) {
	if s.dir != "" {
		return s.dir, nil
	}
	c, err := a.load()
	if err != nil {
		return "", err
	}
	return auditFolder(c.State), nil
}

// noTrail explains a folder that is not there.
func noTrail(dir string, err error) error {
	if errors.Is(err, os.ErrNotExist) || !audit.Begun(dir) {
		return fmt.Errorf("there is no trail in %s; postern serve begins one", dir)
	}
	return err
}

func (a *app) audit(s search, now time.Time) error {
	q, err := s.query(now)
	if err != nil {
		return err
	}
	dir, err := a.folder(s)
	if err != nil {
		return err
	}
	if s.follow {
		return noTrail(dir, a.follow(dir, q))
	}
	if s.event != "" {
		records, err := audit.Newest(dir, q, s.limit)
		if err != nil {
			return noTrail(dir, err)
		}
		return a.result(lines(records), func(w io.Writer) { printRecords(w, records, widthOf(a.stdout)) })
	}
	sessions, err := audit.NewestSessions(dir, q, s.limit)
	if err != nil {
		return noTrail(dir, err)
	}
	return a.result(sessionLines(sessions), func(w io.Writer) { printSessions(w, sessions, widthOf(a.stdout)) })
}

// anyEvent is the word for records of every kind.
const anyEvent = "all"

// query makes the question of the flags.
func (s search) query(now time.Time) (audit.Query, error) {
	q := audit.Query{Client: s.client, Key: s.key, Verdict: s.decision, Text: s.text}
	if s.path != "" {
		if !filepath.IsAbs(s.path) {
			return q, usagef("--path %q: name a path of this host from / on", s.path)
		}
		q.Path = filepath.Clean(s.path)
	}
	if s.event != anyEvent {
		q.Event = s.event
	}
	if s.limit < 1 {
		return q, usagef("--limit %d: name a number from 1 on", s.limit)
	}
	verdicts := []string{policy.Allow.String(), policy.Deny.String(), policy.Answer.String()}
	if s.decision != "" && !slices.Contains(verdicts, s.decision) {
		return q, usagef("--decision %q: it is one of %s", s.decision, strings.Join(verdicts, ", "))
	}
	if s.address != "" {
		network, err := parseNetwork(s.address)
		if err != nil {
			return q, usagef("--address %q is neither an address nor a network such as 192.168.1.0/24", s.address)
		}
		q.Address = network
	}
	for _, bound := range []struct {
		text string
		to   *time.Time
	}{{s.since, &q.Since}, {s.until, &q.Until}} {
		if bound.text == "" {
			continue
		}
		at, err := parseWhen(bound.text, now)
		if err != nil {
			return q, usage{err}
		}
		*bound.to = at
	}
	return q, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// sessionLine is a session as --json prints it: the records themselves.
type sessionLine struct {
	Decided any `json:"decided"`
	Ended   any `json:"ended,omitempty"`
}

func sessionLines(sessions []audit.Session) []sessionLine {
	all := make([]sessionLine, len(sessions))
	for i, s := range sessions {
		all[i].Decided = s.Decided.Line
		if s.Ended != nil {
			all[i].Ended = s.Ended.Line
		}
	}
	return all
}

// lines are records as --json prints them.
func lines(records []audit.Record) []any {
	all := make([]any, len(records))
	for i, r := range records {
		all[i] = r.Line
	}
	return all
}

func printSessions(w io.Writer, sessions []audit.Session, width int) {
	if len(sessions) == 0 {
		fmt.Fprintln(w, "no sessions")
		return
	}
	rows := [][]string{{"TIME", "SESSION", "CLIENT", "ADDRESS", "WHAT", "RESULT", "FILES", "TOOK", "IN", "OUT"}}
	for _, s := range sessions {
		d := s.Decided
		row := []string{localTime(d.Time), d.Session, d.Client, host(d.Address), strings.TrimSpace(d.Tool + " " + d.Direction), resultOf(s), "", "", "", ""}
		if s.Ended != nil && !s.Ended.Lost {
			took := time.Duration(s.Ended.Seconds * float64(time.Second)).Round(time.Second)
			row[6], row[7], row[8], row[9] = filesInWords(s.Ended.Files()), took.String(), bytesOf(s.Ended.In), bytesOf(s.Ended.Out)
		}
		rows = append(rows, row)
	}
	table(w, fit(rows, width, "OUT", "TOOK", "ADDRESS", "IN", "WHAT", "FILES"))
}

// resultOf is what became of a session, in a word or two.
func resultOf(s audit.Session) string {
	switch {
	case s.Decided.Verdict == policy.Deny.String():
		return "refused: " + s.Decided.Code
	case s.Decided.Verdict == policy.Answer.String():
		return "answered"
	case s.Ended == nil:
		return "running, or cut off"
	case s.Ended.Lost:
		return "cut off"
	case s.Ended.Failure != "":
		return "did not start"
	case s.Ended.Signal != "":
		return s.Ended.Signal
	case s.Ended.Status != nil && *s.Ended.Status == 0 && s.Ended.Unlogged:
		return "ok, files unknown"
	case s.Ended.Status != nil && *s.Ended.Status == 0:
		return "ok"
	case s.Ended.Status != nil:
		return fmt.Sprintf("status %d", *s.Ended.Status)
	}
	return "ended"
}

func printRecords(w io.Writer, records []audit.Record, width int) {
	if len(records) == 0 {
		fmt.Fprintln(w, "no records")
		return
	}
	rows := [][]string{{"TIME", "NUMBER", "EVENT", "CLIENT", "ADDRESS", "ABOUT"}}
	for _, r := range records {
		rows = append(rows, []string{localTime(r.Time), fmt.Sprint(r.Number), r.Event, r.Client, host(r.Address), about(r)})
	}
	table(w, fit(rows, width, "NUMBER", "ADDRESS"))
}

// shownHash is how much of a hash tells policies apart in a table.
const shownHash = 12

// about is what a record says beside who and when.
func about(r audit.Record) string {
	switch {
	case r.Command != "":
		return strings.TrimSpace(r.Command+" "+cmp.Or(r.File, r.Session, r.Client)) + " by " + cmp.Or(r.By, "an unknown user")
	case len(r.Problems) > 0:
		return r.Problems[0]
	case r.Policy != "":
		return "policy " + r.Policy[:min(len(r.Policy), shownHash)]
	}
	for _, text := range []string{r.Fingerprint, r.Session} {
		if text != "" && r.Why != "" {
			return text + ": " + r.Why
		}
		if text != "" {
			return text
		}
	}
	return r.Why
}

// localTime is a time as people here read it.
func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// host is an address without its port.
func host(address string) string {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	return peer.Addr().String()
}

func bytesOf(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
