package main

import (
	"time"

	"github.com/spf13/cobra"
)

func newClientShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show one client",
		Long:              "Show prints everything that the file of a client says.",
		Example:           "  postern client show laptop",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClient,
		RunE: run(func(args []string) error {
			_, client, err := a.client(args[0])
			if err != nil {
				return err
			}
			shown := showClient(client, time.Now())
			return a.result(shown, shown.print)
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}
