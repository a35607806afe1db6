package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newClientList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the clients",
		Long:    "List prints every client with its state, its keys, and what it may do.",
		Example: "  postern client list",
		Args:    cobra.NoArgs,
		RunE: run(func([]string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			all := make([]shownClient, 0, len(c.Clients))
			for _, client := range c.Clients {
				all = append(all, showClient(client, time.Now()))
			}
			return a.result(all, func(w io.Writer) { printClients(w, all) })
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

func printClients(w io.Writer, all []shownClient) {
	if len(all) == 0 {
		return
	}
	rows := [][]string{{"NAME", "STATE", "LOGIN", "KEYS", "FROM", "EXPIRES", "MAY"}}
	for _, c := range all {
		may := []string{"-"}
		if len(c.Allow) > 0 {
			may = nil
		}
		for _, r := range c.Allow {
			may = append(may, r.describe())
		}
		rows = append(rows, []string{
			c.Name, c.State, orDash(c.Login), fmt.Sprint(len(c.Keys) + len(c.Principals)),
			orDash(strings.Join(c.From, ",")), c.expiry(), strings.Join(may, "; "),
		})
	}
	table(w, rows)
}
