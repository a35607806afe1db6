package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"postern/gateway"
)

// shownSession is what sessions says of one.
type shownSession struct {
	gateway.Session
	// Seconds is how long it has been going on, and Rate how many bytes it
	// carries in a second, both ways: all the time, or with --watch since the last
	// look.
	Seconds float64 `json:"seconds"`
	Rate    int64   `json:"rate"`
	// PID is the gateway's process.
	PID int `json:"pid"`
}

func newSessions(a *app) *cobra.Command {
	var client string
	watch := false
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List what runs at this moment",
		Long: `Sessions lists the sessions that a gateway runs: whose they are, from where, since
when, how many bytes came from the client and went to it, how many that is in a second
on average, and what they do. A session waits until its turn has come, runs, and is
ending once its client has left or it may not go on.

With --watch the list is drawn anew each second, with the bytes of that second as the
rate, until it is interrupted; with --json it is one line of JSON each second. Sessions
that have ended are in postern audit.

The exit status is 1 when no gateway runs, and 0 also when nothing runs in it.`,
		Example: `  postern sessions
  postern sessions --watch
  postern sessions --client laptop --json`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error {
			l := &look{app: a, client: client}
			if watch {
				return l.watch()
			}
			return l.once()
		}),
	}
	cmd.Flags().StringVar(&client, "client", "", "of the client of that `name` alone")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, once a second")
	a.jsonFlag(cmd)
	return cmd
}

// look looks at what runs, more than once if need be.
type look struct {
	*app
	client string
	// before is what it saw last, and at when.
	before []shownSession
	at     time.Time
}

// see returns what runs, the oldest first.
func (l *look) see() ([]shownSession, error) {
	state, err := l.state()
	if err != nil {
		return nil, err
	}
	replies, err := askSoon[[]gateway.Session](state, askSessions, nothing{})
	if err != nil {
		return nil, l.noGateway(state, err)
	}
	now, all := time.Now(), []shownSession{}
	for _, reply := range replies {
		for _, s := range reply.Answer {
			if l.client == "" || s.Client == l.client {
				all = append(all, l.shown(s, reply.PID, now))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b shownSession) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	l.before, l.at = all, now
	return all, nil
}

// shown reckons with what was seen before.
func (l *look) shown(s gateway.Session, pid int, now time.Time) shownSession {
	shown := shownSession{Session: s, PID: pid, Seconds: max(now.Sub(s.Since).Seconds(), 0)}
	bytes, seconds := carriedBy(s), shown.Seconds
	if i := slices.IndexFunc(l.before, func(b shownSession) bool { return b.ID == s.ID }); i >= 0 {
		bytes, seconds = bytes-carriedBy(l.before[i].Session), now.Sub(l.at).Seconds()
	}
	if seconds > 0 {
		shown.Rate = int64(float64(bytes) / seconds)
	}
	return shown
}

func carriedBy(s gateway.Session) int64 { return s.In + s.Out + s.Err }

func (l *look) once() error {
	all, err := l.see()
	if err != nil {
		return err
	}
	return l.result(all, func(w io.Writer) { printRunning(w, all, widthOf(l.stdout)) })
}

// watchPause is between two looks.
const watchPause = time.Second

// watch goes on until it is interrupted.
func (l *look) watch() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	for {
		all, err := l.see()
		if err != nil {
			return err
		}
		if err := l.draw(all); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// redraw has a terminal go to its first line and forget all below.
const redraw = "\x1b[H\x1b[J"

// draw shows what runs in the place of what ran before.
func (l *look) draw(all []shownSession) error {
	if l.json {
		e := json.NewEncoder(l.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(all)
	}
	width, height := sizeOf(l.stdout)
	if width == 0 {
		return l.result(all, func(w io.Writer) { printRunning(w, all, 0); fmt.Fprintln(w) })
	}
	return l.result(all, func(w io.Writer) {
		fmt.Fprint(w, redraw)
		rows := max(height-3, 1) // the heading, the line below and the cursor's
		printRunning(w, all[:min(rows, len(all))], width)
		if more := len(all) - rows; more > 0 {
			fmt.Fprintf(w, "and %d more\n", more)
		}
	})
}

func printRunning(w io.Writer, all []shownSession, width int) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing runs")
		return
	}
	heading := []string{"SESSION", "CLIENT", "ADDRESS", "FOR", "IN", "OUT", "RATE", "STATE", "WHAT"}
	several := slices.ContainsFunc(all, func(s shownSession) bool { return s.PID != all[0].PID })
	if several {
		heading = append(heading, "GATEWAY")
	}
	rows := [][]string{heading}
	for _, s := range all {
		took := (time.Duration(s.Seconds) * time.Second).String()
		row := []string{s.ID, s.Client, host(s.Address), took, bytesOf(s.In), bytesOf(s.Out + s.Err), humanize.IBytes(uint64(max(s.Rate, 0))) + "/s", string(s.State), s.What}
		if several {
			row = append(row, fmt.Sprint(s.PID))
		}
		rows = append(rows, row)
	}
	table(w, fit(rows, width, "ADDRESS", "OUT", "GATEWAY", "WHAT", "STATE", "FOR", "IN"))
}
