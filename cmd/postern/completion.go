package main

import (
	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print what makes a shell complete postern's commands",
		Long: `Completion prints a script for the shell that is named. Load it at the start
of each shell, or put it where the shell looks for such scripts.`,
		Example: `  postern completion bash > /etc/bash_completion.d/postern
  postern completion zsh > "${fpath[1]}/_postern"
  postern completion fish > ~/.config/fish/completions/postern.fish`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(func([]string) error { return a.completion(cmd.Root(), args[0]) })(cmd, args)
		},
	}
}

func (a *app) completion(root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(a.stdout, true)
	case "zsh":
		return root.GenZshCompletion(a.stdout)
	}
	return root.GenFishCompletion(a.stdout, true)
}
