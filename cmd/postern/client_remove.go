package main

import (
	"github.com/spf13/cobra"

	"postern/configs"
)

func newClientRemove(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a client's file",
		Long: `Remove removes the file of a client. It asks nothing. The client's backups stay
where they are.`,
		Example:           "  postern client remove laptop",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClient,
		RunE:              run(func(args []string) error { return a.alter(args[0], "remove", configs.RemoveClient) }),
	}
	a.jsonFlag(cmd)
	return cmd
}
