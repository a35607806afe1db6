package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"postern/configs"
)

// What became of files that were read again.
const (
	outcomeLoaded  = "loaded"
	outcomeRefused = "refused"
)

// reloaded is what a gateway says of the newest files.
type reloaded struct {
	// PID is its process.
	PID int `json:"pid"`
	// Outcome is loaded or refused.
	Outcome string `json:"outcome"`
	// Policy is the hash of the files that it goes by, and Clients and Rules are
	// how many they make.
	Policy  string `json:"policy"`
	Clients int    `json:"clients"`
	Rules   int    `json:"rule_count"`
	// NextStart are the keys that it goes by only when it starts anew.
	NextStart []string `json:"next_start,omitempty"`
	// Problems are what is wrong with files that it refused.
	Problems configs.Problems `json:"problems,omitempty"`
	// Unrecorded is why that is not on record yet.
	Unrecorded string `json:"unrecorded,omitempty"`
}

func newReload(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the gateway read its files again, and say what came of it",
		Long: `Reload has a gateway that runs read all its files again at once, as SIGHUP does, and
waits until it goes by them or has refused them. It goes by changes of clients'
files by itself within a second; reload tells whether it does.

Where something is wrong with a file the gateway goes on by those before, and
reload says what it is, with file, line and column. The exit status is 1 then, and
when no gateway runs.`,
		Example: `  postern reload
  postern reload --json`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error { return a.reload() }),
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) reload() error {
	state, err := a.state()
	if err != nil {
		return err
	}
	replies, err := ask[reloaded](context.Background(), state, askReload, nothing{})
	if err != nil && len(replies) == 0 {
		return a.noGateway(state, err)
	}
	all, refused := make([]reloaded, len(replies)), false
	for i, reply := range replies {
		all[i] = reply.Answer
		refused = refused || reply.Answer.Outcome != outcomeLoaded
	}
	err = errors.Join(a.result(all, func(w io.Writer) { printReloaded(w, all) }), err)
	if err == nil && refused {
		return errNo
	}
	return err
}

func printReloaded(w io.Writer, all []reloaded) {
	for _, r := range all {
		who := "the gateway"
		if len(all) > 1 {
			who = fmt.Sprintf("the gateway %d", r.PID)
		}
		files := fmt.Sprintf("%s with %s (policy %s)", plural(r.Clients, "client"), plural(r.Rules, "rule"), plain(r.Policy[:min(len(r.Policy), shownHash)]))
		if r.Outcome == outcomeLoaded {
			fmt.Fprintf(w, "loaded: %s goes by %s\n", who, files)
		} else {
			fmt.Fprintf(w, "refused: %s goes on by the files before, %s\n", who, files)
			for _, p := range r.Problems {
				finding{isError, p}.print(w)
			}
		}
		if len(r.NextStart) > 0 {
			fmt.Fprintf(w, "waiting for the next start: %s\n", plain(strings.Join(r.NextStart, ", ")))
		}
		if r.Unrecorded != "" {
			fmt.Fprintf(w, "not on record yet: %s\n", plain(r.Unrecorded))
		}
	}
}
