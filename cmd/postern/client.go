package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"postern/audit"
	"postern/configs"
	"postern/registry"
)

func newClient(a *app) *cobra.Command {
	cmd := group("client", "The registry of clients",
		`Client shows and changes which clients there are. Each is one file in the clients
folder, which you may as well write by hand.

A gateway that runs goes by a change within a second, and ends the sessions that are
no longer allowed. Each change is put on record (postern audit --event "administrative change"), with who
made it; one that cannot be is not made.`)
	cmd.AddCommand(newClientAdd(a), newClientList(a), newClientShow(a),
		newClientSwitch(a, true), newClientSwitch(a, false), newClientRemove(a))
	return cmd
}

// changed is the result of a command that changes a client.
type changed struct {
	Client string `json:"client"`
	File   string `json:"file"`
	Action string `json:"action"`
}

// alter changes the file of a client that is there.
func (a *app) alter(name, verb string, change func(file string) error) error {
	c, client, err := a.client(name)
	if err != nil {
		return err
	}
	about := audit.Change{Command: "client " + verb, Client: name, File: client.Where}
	if err := noted(c.State, about, func() error { return change(client.Where) }); err != nil {
		return err
	}
	return a.changed(changed{name, client.Where, verb + "d"})
}

// takesEffect says when a change of a client does.
const takesEffect = "A gateway that runs goes by this within a second."

func (a *app) changed(c changed) error {
	if err := a.result(c, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", c.Action, c.File) }); err != nil {
		return err
	}
	if !a.json {
		a.hint(takesEffect)
	}
	return nil
}

// load reads the files on behalf of the gateway's user.
func (a *app) load() (*configs.Config, error) {
	return configs.LoadAs(a.config, gatewayUser(a.config))
}

// gatewayUser is the user that the gateway runs as: whoever owns the
// configuration, when root asks, and else whoever asks.
func gatewayUser(config string) int {
	uid := os.Geteuid()
	if info, err := os.Stat(config); err == nil && uid == 0 {
		return ownerOf(info)
	}
	return uid
}

// client reads the files and returns them with the client of that name.
func (a *app) client(name string) (*configs.Config, registry.Client, error) {
	c, err := a.load()
	if err != nil {
		return nil, registry.Client{}, err
	}
	for _, client := range c.Clients {
		if client.Name == name {
			return c, client, nil
		}
	}
	return nil, registry.Client{}, fmt.Errorf("there is no client %q in %s; see postern client list", name, c.ClientsDir)
}

// completeClient completes the name of a client.
func (a *app) completeClient(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := a.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, client := range c.Clients {
		names = append(names, client.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
