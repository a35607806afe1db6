package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postern/configs"
)

// app is what the commands share: where they print, and the common flags.
type app struct {
	output
	config string
}

// failure marks an error of a command that was called rightly, so that every
// other error is one of usage.
type failure struct{ error }

// Unwrap returns the error itself.
func (f failure) Unwrap() error { return f.error }

// usage marks an error of a running command as one of usage.
type usage struct{ error }

func usagef(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

// execute runs one command line and returns the exit status.
func execute(args []string, stdout, stderr io.Writer) int {
	a := &app{output: output{stdout: stdout, stderr: stderr}}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	return a.status(cmd, err)
}

// status prints the error that a command ended with, if any, and returns the
// exit status that stands for it.
func (a *app) status(cmd *cobra.Command, err error) int {
	var failed failure
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo):
		return exitNo
	case errors.As(err, &failed):
		a.problem(failed.error)
		return exitNo
	}
	a.errorLine(err)
	a.hint("Run %q for help.", cmd.CommandPath()+" --help")
	return exitUsage
}

// problem prints an error. What is wrong with files keeps its own form.
func (a *app) problem(err error) {
	var problems configs.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(a.stderr, problems.Error())
		return
	}
	a.errorLine(err)
}

// run wraps what a command does, so that its errors are told from those of
// usage.
func run(do func(args []string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		err := do(args)
		var wrong usage
		if err == nil || errors.As(err, &wrong) {
			return err
		}
		return failure{err}
	}
}

// group returns a command that only holds others.
func group(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2, // letters
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("a command is missing")
			}
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return usagef("there is no command %q; did you mean %q?", args[0], near[0])
			}
			return usagef("there is no command %q", args[0])
		},
	}
}

// jsonFlag gives a command the flag --json.
func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print the result as JSON")
}

func newRoot(a *app) *cobra.Command {
	root := group("postern", "An SSH server that opens for backups and nothing else",
		`postern is an SSH server for a NAS that opens for backups and nothing else.
It accepts registered public keys only, and lets each key run rsync and borg
on its own paths.

Begin with "postern init", then "postern client add", then "postern serve".`)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().StringVar(&a.config, "config", configs.DefaultPath, "the gateway's configuration `file`")
	if err := root.MarkPersistentFlagFilename("config", "yaml"); err != nil {
		panic(err) // cannot happen: the flag is defined above
	}
	root.AddCommand(
		newInit(a), newServe(a), newCheck(a), newClient(a),
		newExplain(a), newAudit(a), newStatus(a), newSessions(a), newKill(a), newReload(a), newUpgrade(a), newBans(a), newUnban(a), newVersion(a), newCompletion(a),
	)
	return root
}
