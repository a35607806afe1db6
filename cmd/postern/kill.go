package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postern/audit"
	"postern/gateway"
)

// target says which sessions are to end: one, those of a client, or all.
type target struct {
	Session string `json:"session,omitempty"`
	Client  string `json:"client,omitempty"`
	All     bool   `json:"all,omitempty"`
}

// isOne reports whether it says one of the three.
func (t target) isOne() bool {
	said := 0
	for _, is := range []bool{t.Session != "", t.Client != "", t.All} {
		if is {
			said++
		}
	}
	return said == 1
}

func (t target) means(s gateway.Session) bool {
	return t.All || t.Session != "" && s.ID == t.Session || t.Client != "" && s.Client == t.Client
}

func newKill(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "kill SESSION",
		Short: "End a session, or those of a client",
		Long: `Kill ends a session that runs within a second. Its client reads "postern: ended: by
the operator", and its exit status is not 0. Rsync keeps what is whole, and what is not
with --partial; borg releases its locks and goes on from its last checkpoint when it is
run again.

Clients may come again at once: to keep one out, use postern client disable. What was
ended is put on record, with who ended it.

The exit status is 1 when no such session runs.`,
		Example: `  postern kill 6ad41b0511e4b7a8.1
  postern kill --client laptop
  postern kill --all`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSession,
		RunE: run(func(args []string) error {
			if len(args) == 1 {
				t.Session = args[0]
			}
			if !t.isOne() {
				return usagef("name a session, or write --client NAME or --all")
			}
			return a.kill(t)
		}),
	}
	cmd.Flags().StringVar(&t.Client, "client", "", "end all sessions of the client of that `name`")
	cmd.Flags().BoolVar(&t.All, "all", false, "end all sessions")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) kill(t target) error {
	state, err := a.state()
	if err != nil {
		return err
	}
	// What is not there is neither ended nor put on record.
	before, err := a.runningOf(state, t)
	if err != nil {
		return err
	}
	about := audit.Change{Command: "kill", Client: t.Client, Session: t.Session}
	if t.Session != "" {
		about.Client = before[0].Client
	}
	var killed []gateway.Session
	err = noted(state, about, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), killTime+askTime)
		defer cancel()
		replies, err := ask[[]gateway.Session](ctx, state, askKill, t)
		for _, reply := range replies {
			killed = append(killed, reply.Answer...)
		}
		return err
	})
	if err != nil && len(killed) == 0 {
		return a.noGateway(state, err)
	}
	if len(killed) == 0 {
		killed = []gateway.Session{} // it ended by itself meanwhile
	}
	return errors.Join(a.result(killed, func(w io.Writer) { printKilled(w, killed) }), err)
}

// runningOf returns the sessions that are meant, of which there is one at least.
func (a *app) runningOf(state string, t target) ([]gateway.Session, error) {
	replies, err := askSoon[[]gateway.Session](state, askSessions, nothing{})
	if err != nil {
		return nil, a.noGateway(state, err)
	}
	var all []gateway.Session
	for _, reply := range replies {
		for _, s := range reply.Answer {
			if t.means(s) {
				all = append(all, s)
			}
		}
	}
	switch {
	case len(all) > 0:
		return all, nil
	case t.Session != "":
		return nil, fmt.Errorf("no session %q runs; see postern sessions", t.Session)
	case t.Client != "":
		return nil, fmt.Errorf("no session of client %q runs; see postern sessions", t.Client)
	}
	return nil, errors.New("nothing runs")
}

func printKilled(w io.Writer, killed []gateway.Session) {
	if len(killed) == 0 {
		fmt.Fprintln(w, "it had ended already")
	}
	for _, s := range killed {
		fmt.Fprintf(w, "ended %s of %s, which %s\n", s.ID, plain(s.Client), plain(s.What))
	}
}

// completeSession completes the identifier of a session that runs.
func (a *app) completeSession(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l := &look{app: a}
	all, err := l.see()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID+"\t"+s.Client)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
