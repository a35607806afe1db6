package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postern/audit"
)

// What became of an upgrade.
const (
	outcomeUpgraded = "upgraded"
	outcomeFailed   = "failed"
	// outcomeOver is that of a gateway from which another one took over before.
	outcomeOver = "over"
)

// upgraded is what a gateway says of its upgrade.
type upgraded struct {
	// PID is its process, and Successor that of the gateway that took over.
	PID       int    `json:"pid"`
	Outcome   string `json:"outcome"`
	Successor int    `json:"successor,omitempty"`
	// Sessions go on in it.
	Sessions int `json:"sessions"`
	// Why is what was in the way.
	Why string `json:"why,omitempty"`
}

func newUpgrade(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Have a new binary take over from the gateway that runs",
		Long: `Upgrade has the gateway that runs start its binary anew, as it is on the disk now, with
the same arguments. The new process reads all files, takes over the listening sockets
and serves whoever comes from then on, so that no connection is refused. Sessions that
run go on in the old process, which ends after the last of them: postern sessions lists
those of both. SIGUSR2 does the same.

Where the new process does not start, for a file that is no good or whatever else, the
gateway goes on as if nothing had happened. The exit status is 1 then, and when no
gateway runs.`,
		Example: `  install postern /usr/local/bin/postern && postern upgrade
  postern upgrade --json`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error { return a.upgrade() }),
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) upgrade() error {
	state, err := a.state()
	if err != nil {
		return err
	}
	var done []upgraded
	err = noted(state, audit.Change{Command: "upgrade"}, func() error {
		replies, err := ask[upgraded](context.Background(), state, askUpgrade, nothing{})
		for _, reply := range replies {
			// One whose upgrade is over has no part in it.
			if reply.Answer.Outcome != outcomeOver {
				done = append(done, reply.Answer)
			}
		}
		switch {
		case len(done) == 0 && err == nil:
			return errors.New("the gateways that run are those from which others took over; see postern status")
		case len(done) > 0 && done[0].Outcome == outcomeFailed:
			return errors.Join(fmt.Errorf("the gateway goes on as before: %s", done[0].Why), err)
		}
		return err
	})
	if err != nil {
		return a.noGateway(state, err)
	}
	return a.result(done[0], func(w io.Writer) {
		fmt.Fprintf(w, "upgraded: the gateway %d took over from %d, in which %s\n", done[0].Successor, done[0].PID, goesOn(done[0].Sessions))
	})
}

// goesOn says how many sessions do.
func goesOn(sessions int) string {
	switch sessions {
	case 0:
		return "nothing ran"
	case 1:
		return "1 session goes on"
	}
	return plural(sessions, "session") + " go on"
}
