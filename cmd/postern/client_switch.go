package main

import (
	"github.com/spf13/cobra"

	"postern/configs"
)

func newClientSwitch(a *app, disable bool) *cobra.Command {
	verb, short, long := "enable", "Let a disabled client in again", "Enable lets a client in that was disabled."
	if disable {
		verb, short = "disable", "Shut a client out and keep its file"
		long = "Disable shuts a client out. Its file stays as it is otherwise."
	}
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short, Long: long,
		Example:           "  postern client " + verb + " laptop",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClient,
		RunE: run(func(args []string) error {
			return a.alter(args[0], verb, func(file string) error { return configs.SetDisabled(file, disable) })
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}
