package main

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"postern/audit"
	"postern/gateway/door"
)

func newBans(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bans",
		Short: "List the addresses that are barred for what failed from there",
		Long: `Bans lists the networks whose connections the gateway drops before it reads
anything from them, and for how long it goes on doing so. A network wider than one
source stands for many of IPv6 that failed in it.

The list is what the gateway saved last, which it does within ten seconds of a
change.`,
		Example: `  postern bans
  postern bans --json`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			s, err := door.Read(c.State, time.Now())
			if err != nil {
				return err
			}
			if s.Bars == nil {
				s.Bars = []door.Bar{}
			}
			return a.result(s.Bars, func(w io.Writer) { printBans(w, s.Bars) })
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

func printBans(w io.Writer, all []door.Bar) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nobody is barred")
		return
	}
	rows := [][]string{{"NETWORK", "FOR"}}
	for _, b := range all {
		rows = append(rows, []string{b.Network.String(), (time.Duration(b.Seconds) * time.Second).String()})
	}
	table(w, rows)
}

// unbanned is the result of unban.
type unbanned struct {
	Network string `json:"network,omitempty"`
	All     bool   `json:"all,omitempty"`
}

func newUnban(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "unban ADDRESS|NETWORK",
		Short: "Forgive an address what failed from there",
		Long: `Unban lifts the penalties of an address, or of every source in a network, and those
of the networks around it. A gateway that runs does so within about a second, another
one when it starts.

To keep an address from being barred at all, write it into
connection.penalties.exempt.`,
		Example: `  postern unban 192.0.2.7
  postern unban 2001:db8::/32
  postern unban --all`,
		Args: cobra.MaximumNArgs(1),
		RunE: run(func(args []string) error {
			if all == (len(args) == 1) {
				return usagef("name an address or a network, or write --all")
			}
			var network netip.Prefix
			u := unbanned{All: all}
			if !all {
				var err error
				if network, err = parseSource(args[0]); err != nil {
					return err
				}
				u.Network = network.String()
			}
			return a.unban(u, network)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "lift the penalties of everybody")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) unban(u unbanned, network netip.Prefix) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	about := audit.Change{Command: "unban", Source: u.Network}
	if err := noted(c.State, about, func() error { return door.Unban(c.State, network) }); err != nil {
		return err
	}
	return a.result(u, func(w io.Writer) {
		who := "everybody"
		if !u.All {
			who = u.Network
		}
		fmt.Fprintf(w, "the gateway is asked to lift the penalties of %s\n", who)
	})
}

// parseSource reads an address, which stands for itself, or a network.
func parseSource(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, usagef("%q is neither an address nor a network, such as 192.0.2.7 or 2001:db8::/48", text)
	}
	return network.Masked(), nil
}
