package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"postern/audit"
	"postern/gateway/control"
	"postern/gateway/door"
)

func newBans(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bans",
		Short: "List the addresses that are barred for what failed from there",
		Long: `Bans lists the networks whose connections the gateway drops before it reads
anything from them, and for how long it goes on doing so. A network wider than one
source stands for many of IPv6 that failed in it.

A gateway that runs is asked; where none does, the list is what the last one saved.`,
		Example: `  postern bans
  postern bans --json`,
		Args: cobra.NoArgs,
		RunE: run(func([]string) error {
			bars, err := a.bars()
			if err != nil {
				return err
			}
			return a.result(bars, func(w io.Writer) { printBans(w, bars) })
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

// bars are those of the gateways that run, or of the last one.
func (a *app) bars() ([]door.Bar, error) {
	state, err := a.state()
	if err != nil {
		return nil, err
	}
	replies, err := askSoon[[]door.Bar](state, askBans, nothing{})
	bars := []door.Bar{}
	if errors.Is(err, control.ErrNone) {
		s, err := door.Read(state, time.Now())
		return append(bars, s.Bars...), err
	}
	if err != nil {
		return nil, err
	}
	for _, reply := range replies {
		bars = append(bars, reply.Answer...)
	}
	// Of one that two gateways bar, the longer time counts.
	slices.SortFunc(bars, func(a, b door.Bar) int {
		return cmp.Or(a.Network.Compare(b.Network), cmp.Compare(b.Seconds, a.Seconds))
	})
	bars = slices.CompactFunc(bars, func(a, b door.Bar) bool { return a.Network == b.Network })
	slices.SortStableFunc(bars, func(a, b door.Bar) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return bars, nil
}

func printBans(w io.Writer, all []door.Bar) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nobody is barred")
		return
	}
	rows := [][]string{{"NETWORK", "FOR"}}
	for _, b := range all {
		rows = append(rows, []string{b.Network.String(), time.Duration(b.Seconds * float64(time.Second)).Truncate(time.Second).String()})
	}
	table(w, rows)
}

// unbanned is what unban asks for, and its result.
type unbanned struct {
	// Network is the one that is meant, unless all are.
	Network netip.Prefix `json:"network,omitzero"`
	All     bool         `json:"all,omitempty"`
	// Lifted is how many networks had a penalty.
	Lifted int `json:"lifted"`
}

func newUnban(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "unban ADDRESS|NETWORK",
		Short: "Forgive an address what failed from there",
		Long: `Unban lifts the penalties of an address, or of every source in a network, and those
of the networks around it: in the gateway that runs, or for the next one.

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
			u := unbanned{All: all}
			if !all {
				var err error
				if u.Network, err = parseSource(args[0]); err != nil {
					return err
				}
			}
			return a.unban(u)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "lift the penalties of everybody")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) unban(u unbanned) error {
	state, err := a.state()
	if err != nil {
		return err
	}
	about, who := audit.Change{Command: "unban"}, "everybody"
	if !u.All {
		about.Source, who = u.Network.String(), u.Network.String()
	}
	if err := noted(state, about, func() (err error) { u.Lifted, err = lift(state, u); return err }); err != nil {
		return err
	}
	return a.result(u, func(w io.Writer) {
		if u.Lifted == 0 {
			fmt.Fprintf(w, "there was nothing to lift for %s\n", who)
			return
		}
		fmt.Fprintf(w, "lifted the penalties of %s (%s)\n", who, plural(u.Lifted, "network"))
	})
}

// lift has the gateways that run do it, or does it for the next one where none does. No
// gateway begins or ends meanwhile.
func lift(state string, u unbanned) (lifted int, err error) {
	release, err := holdControl(state, holdTime)
	if err != nil {
		return 0, fmt.Errorf("%w%s", err, noteRemedy(err))
	}
	defer release()
	replies, err := askSoon[int](state, askUnban, u)
	if errors.Is(err, control.ErrNone) {
		return door.Lift(state, u.Network, time.Now())
	}
	for _, reply := range replies {
		lifted = max(lifted, reply.Answer)
	}
	return lifted, err
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
