package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/policy"
	"postern/registry"
)

func newClient(a *app) *cobra.Command {
	cmd := group("client", "The registry of clients",
		`Client shows and changes which clients there are. Each is one file in the clients
folder, which you may as well write by hand.

A gateway that runs reads the files at its start: restart it after a change.`)
	cmd.AddCommand(newClientAdd(a), newClientList(a), newClientShow(a),
		newClientSwitch(a, true), newClientSwitch(a, false), newClientRemove(a))
	return cmd
}

// shownClient is a client as commands print it.
type shownClient struct {
	Name       string      `json:"name"`
	File       string      `json:"file"`
	State      string      `json:"state"`
	Login      string      `json:"login,omitempty"`
	Keys       []shownKey  `json:"keys"`
	Principals []string    `json:"principals,omitempty"`
	From       []string    `json:"from,omitempty"`
	Expires    *time.Time  `json:"expires,omitempty"`
	Allow      []shownRule `json:"allow"`
}

type shownKey struct {
	Type            string `json:"type"`
	Fingerprint     string `json:"fingerprint"`
	Comment         string `json:"comment,omitempty"`
	NoTouchRequired bool   `json:"no_touch_required,omitempty"`
}

type shownRule struct {
	Where      string `json:"where"`
	Tool       string `json:"tool"`
	Path       string `json:"path"`
	Access     string `json:"access"`
	Delete     *bool  `json:"delete,omitempty"`
	Overwrite  *bool  `json:"overwrite,omitempty"`
	Rooted     bool   `json:"rooted,omitempty"`
	MungeLinks bool   `json:"munge_links,omitempty"`
	AppendOnly bool   `json:"append_only,omitempty"`
	Quota      *int64 `json:"quota,omitempty"`
}

func showClient(c registry.Client, now time.Time) shownClient {
	s := shownClient{
		Name: c.Name, File: c.Where, State: stateOf(c, now), Login: c.Login, Principals: c.Principals,
		Keys: []shownKey{}, Allow: []shownRule{},
	}
	for _, k := range c.Keys {
		s.Keys = append(s.Keys, shownKey{k.Public.Type(), k.Fingerprint(), k.Comment, k.NoTouchRequired})
	}
	for _, network := range c.From {
		s.From = append(s.From, network.String())
	}
	if !c.Expires.IsZero() {
		s.Expires = &c.Expires
	}
	for _, r := range c.Rules {
		s.Allow = append(s.Allow, showRule(r))
	}
	return s
}

func stateOf(c registry.Client, now time.Time) string {
	switch {
	case c.Disabled:
		return "disabled"
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		return "expired"
	}
	return "enabled"
}

func showRule(r policy.Rule) shownRule {
	s := shownRule{
		Where: r.Where, Tool: string(r.Tool), Path: r.Path, Access: r.Access.String(),
		Rooted: r.Rooted, MungeLinks: r.MungeLinks, AppendOnly: r.AppendOnly,
	}
	if r.Tool == policy.Rsync {
		s.Delete, s.Overwrite = &r.Delete, &r.Overwrite
	}
	if quota, ok := r.Quota.Bytes(); ok {
		s.Quota = &quota
	}
	return s
}

// describe says in a few words what a rule grants.
func (r shownRule) describe() string {
	words := []string{r.Tool, r.Path, r.Access}
	if r.Delete != nil && !*r.Delete {
		words = append(words, "no-delete")
	}
	if r.Overwrite != nil && !*r.Overwrite {
		words = append(words, "no-overwrite")
	}
	for _, f := range []struct {
		set  bool
		word string
	}{{r.Rooted, "rooted"}, {r.MungeLinks, "munge-links"}, {r.AppendOnly, "append-only"}} {
		if f.set {
			words = append(words, f.word)
		}
	}
	if r.Quota != nil {
		words = append(words, "quota "+bytesInWords(*r.Quota))
	}
	return strings.Join(words, " ")
}

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

func (c shownClient) expiry() string {
	if c.Expires == nil {
		return "-"
	}
	return c.Expires.Format("2006-01-02 15:04")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newClientShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show one client",
		Long:              "Show prints everything that the file of a client says.",
		Example:           "  postern client show laptop",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClient,
		RunE: run(func(args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			client, err := find(c, args[0])
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

func (c shownClient) print(w io.Writer) {
	rows := [][]string{{"name", c.Name}, {"file", c.File}, {"state", c.State}}
	for _, k := range c.Keys {
		text := k.Type + " " + k.Fingerprint
		if k.NoTouchRequired {
			text += " no-touch-required"
		}
		rows = append(rows, []string{"key", strings.TrimSpace(text + " " + k.Comment)})
	}
	for _, p := range c.Principals {
		rows = append(rows, []string{"principal", p})
	}
	login := c.Login
	if login == "" {
		login = "any"
	}
	from := strings.Join(c.From, ", ")
	if from == "" {
		from = "everywhere"
	}
	expires := c.expiry()
	if c.Expires == nil {
		expires = "never"
	}
	rows = append(rows, []string{"login", login}, []string{"from", from}, []string{"expires", expires})
	for _, r := range c.Allow {
		rows = append(rows, []string{"may", r.describe()})
	}
	if len(c.Allow) == 0 {
		rows = append(rows, []string{"may", "nothing"})
	}
	table(w, rows)
}

// changed is the result of a command that changes a client.
type changed struct {
	Client string `json:"client"`
	File   string `json:"file"`
	Action string `json:"action"`
}

func (a *app) changed(c changed) error {
	if err := a.result(c, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", c.Action, c.File) }); err != nil {
		return err
	}
	if !a.json {
		a.hint("A gateway that runs goes on as before until it is restarted.")
	}
	return nil
}

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
			c, err := a.load()
			if err != nil {
				return err
			}
			client, err := find(c, args[0])
			if err != nil {
				return err
			}
			if err := configs.SetDisabled(client.Where, disable); err != nil {
				return err
			}
			return a.changed(changed{client.Name, client.Where, verb + "d"})
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

func newClientRemove(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a client's file",
		Long: `Remove removes the file of a client. It asks nothing. The client's backups stay
where they are.`,
		Example:           "  postern client remove laptop",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClient,
		RunE: run(func(args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			client, err := find(c, args[0])
			if err != nil {
				return err
			}
			if err := configs.RemoveClient(client.Where); err != nil {
				return err
			}
			return a.changed(changed{client.Name, client.Where, "removed"})
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

// load reads the files on behalf of the gateway's user: whoever owns the
// configuration, when root asks.
func (a *app) load() (*configs.Config, error) {
	uid := os.Geteuid()
	if info, err := os.Stat(a.config); err == nil && uid == 0 {
		uid = ownerOf(info)
	}
	return configs.LoadAs(a.config, uid)
}

func find(c *configs.Config, name string) (registry.Client, error) {
	for _, client := range c.Clients {
		if client.Name == name {
			return client, nil
		}
	}
	return registry.Client{}, fmt.Errorf("there is no client %q in %s; see postern client list", name, c.ClientsDir)
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
