package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/audit"
	"postern/configs"
	"postern/registry"
)

// statusWindow is how far back status looks for backups: long enough for a trend
// of weekly ones.
const statusWindow = 90 * 24 * time.Hour

// clientStatus is what status says of one client.
type clientStatus struct {
	Client string `json:"client"`
	// State is ok, overdue, none for a client that has made no backup and of
	// which none is expected, or disabled.
	State string        `json:"state"`
	Last  *audit.Backup `json:"last,omitempty"`
	// Age and Expect are in seconds; Expect is absent where nothing is
	// expected.
	Age    float64 `json:"age,omitempty"`
	Expect float64 `json:"expect,omitempty"`
	// Count is how many backups there were in the last 90 days.
	Count int `json:"count"`
	// Usual is the median size of those before the last with the same tool, in
	// bytes, and Trend how many percent larger than that the last one was.
	Usual int64 `json:"usual,omitempty"`
	Trend *int  `json:"trend,omitempty"`
	// Sizes are those of the newest backups with that tool, the oldest first.
	Sizes []int64 `json:"sizes,omitempty"`
}

// shownSizes is how many sizes are told: a week of daily backups.
const shownSizes = 7

// The states of a client.
const (
	stateOK       = "ok"
	stateOverdue  = "overdue"
	stateNone     = "none"
	stateDisabled = "disabled"
)

func newStatus(a *app) *cobra.Command {
	var dir, only string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say which client has its backups, and which is overdue",
		Long: `Status shows for each client its last successful backup, how old that is, how long
the client may be without one (expect in its file), how large it was beside those
before (the median of 90 days), and how many files it created (+), changed (~) and
deleted (-). Before that it says which gateway runs.

A backup is an rsync push that ended well and was no dry run, or a borg session that
wrote an archive; a probe, a pull, a check or a compaction is none. For borg the
size is what was sent to be stored.

Files that the gateway has refused, so that it goes on by those before, are told on
standard error.

The exit status is 1 when a client is overdue, so that cron or a monitor can tell. A
gateway that does not run is told, and changes nothing of that: postern sessions
fails then.`,
		Example: `  postern status
  postern status --client laptop
  postern status --json || notify-send "a backup is overdue"`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error { return a.backupStatus(dir, only, time.Now()) }),
	}
	cmd.Flags().StringVar(&dir, "dir", "", "read the trail in this `folder`, such as a copy")
	cmd.Flags().StringVar(&only, "client", "", "of the client of that `name` alone")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) backupStatus(dir, only string, now time.Time) error {
	c, err := a.load()
	copied := dir != ""
	if !copied {
		a.warnUnloaded(c)
	}
	if err != nil {
		return err
	}
	clients := c.Clients
	if only != "" {
		_, client, err := a.client(only)
		if err != nil {
			return err
		}
		clients = []registry.Client{client}
	}
	if !copied {
		dir = auditFolder(c.State)
	}
	backups, err := audit.Backups(dir, now.Add(-statusWindow))
	if err != nil {
		return noTrail(dir, err)
	}
	all := make([]clientStatus, len(clients))
	overdue := false
	for i, client := range clients {
		all[i] = statusOf(client, backups[client.Name], now)
		overdue = overdue || all[i].State == stateOverdue
	}
	s := overview{Clients: all}
	if !copied {
		s.Gateways = a.gateways(c.State)
	}
	if err := a.result(s, func(w io.Writer) { s.print(w, widthOf(a.stdout)) }); err != nil {
		return err
	}
	if overdue {
		return errNo
	}
	return nil
}

// warnUnloaded says so where the newest files were refused by the gateway, also where
// they cannot be loaded, which nil stands for.
func (a *app) warnUnloaded(c *configs.Config) {
	state := configs.StateFolder(a.config, gatewayUser(a.config))
	if c != nil {
		state = c.State
	}
	if state == "" {
		return
	}
	refused, err := audit.Unloaded(auditFolder(state))
	if err != nil || refused == nil {
		return // a trail that cannot be read is said elsewhere
	}
	a.hint("postern: warning: the files were refused at %s; a gateway that runs goes by those before: %s",
		localTime(refused.Time), plain(strings.Join(refused.Problems, "; ")))
}

// statusOf is what is to be said of a client with these backups, the oldest first.
func statusOf(c registry.Client, backups []audit.Backup, now time.Time) clientStatus {
	s := clientStatus{Client: c.Name, State: stateNone, Count: len(backups), Expect: c.Expect.Seconds()}
	late := c.Expect > 0
	if len(backups) > 0 {
		last := backups[len(backups)-1]
		s.Last, s.State = &last, stateOK
		age := now.Sub(last.Time)
		s.Age = age.Seconds()
		s.compare(backups)
		late = late && age > c.Expect
	}
	switch {
	case c.Disabled:
		s.State = stateDisabled
	case late:
		s.State = stateOverdue
	}
	return s
}

// compare puts the last backup beside those before it with the same tool.
func (s *clientStatus) compare(backups []audit.Backup) {
	var sizes []int64
	for _, b := range backups {
		if b.Tool == s.Last.Tool {
			sizes = append(sizes, b.Bytes)
		}
	}
	s.Sizes = sizes[max(len(sizes)-shownSizes, 0):]
	before := slices.Sorted(slices.Values(sizes[:len(sizes)-1]))
	if len(before) == 0 {
		return
	}
	if s.Usual = before[len(before)/2]; s.Usual > 0 {
		percent := int(math.Round(100 * (float64(s.Last.Bytes)/float64(s.Usual) - 1)))
		s.Trend = &percent
	}
}

func printStatus(w io.Writer, all []clientStatus, width int) {
	if len(all) == 0 {
		fmt.Fprintln(w, "no clients")
		return
	}
	rows := [][]string{{"CLIENT", "STATE", "LAST BACKUP", "AGE", "EXPECT", "SIZE", "TREND", "FILES", "TOOL"}}
	for _, s := range all {
		row := []string{s.Client, s.State, "never", "", span(s.Expect), "", "", "", ""}
		if s.Last != nil {
			row[2], row[3], row[5], row[8] = localTime(s.Last.Time), span(s.Age), bytesOf(s.Last.Bytes), s.Last.Tool
			row[7] = filesInWords(s.Last.Files)
		}
		if s.Trend != nil {
			row[6] = fmt.Sprintf("%+d %%", *s.Trend)
		}
		rows = append(rows, row)
	}
	table(w, fit(rows, width, "TOOL", "FILES", "EXPECT", "SIZE"))
}

// filesInWords is what was done to files: +created ~changed -deleted >sent, without
// those that are none.
func filesInWords(n *audit.FileCounts) string {
	if n == nil {
		return ""
	}
	var words []string
	for _, deed := range []struct {
		sign  string
		count int64
	}{{"+", n.Created}, {"~", n.Changed}, {"-", n.Deleted}, {">", n.Sent}} {
		if deed.count > 0 {
			words = append(words, deed.sign+strconv.FormatInt(deed.count, 10))
		}
	}
	return strings.Join(words, " ")
}

// span is a length of time in seconds, in the two largest of its units.
func span(seconds float64) string {
	d := time.Duration(seconds) * time.Second
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return ""
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}
