package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/configs"
)

// checked is the result of postern check.
type checked struct {
	OK     bool   `json:"ok"`
	Config string `json:"config"`
	// Policy is the hash of every file that was loaded, as serve logs it.
	Policy   string `json:"policy,omitempty"`
	Clients  int    `json:"clients"`
	Programs []tool `json:"programs"`
	// Confinement is how the kernel holds children; empty where the files do
	// not load.
	Confinement string    `json:"confinement,omitempty"`
	Findings    []finding `json:"findings"`
}

func newCheck(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate every file and this host",
		Long: `Check reads the configuration and every client file, and looks at the host:
host keys, folders and who may change them, and the versions of rsync and borg.
It changes nothing, and may run beside a gateway.

It prints everything it finds, with the remedy. The exit status is 1 when there
is an error; a warning is for you to judge.`,
		Example: "  postern check --config /etc/postern/postern.yaml",
		Args:    cobra.NoArgs,
		RunE: run(func([]string) error {
			return a.check(context.Background(), time.Now())
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) check(ctx context.Context, now time.Time) error {
	if err := notForAnother(a.config, "check"); err != nil {
		return err
	}
	c := checked{Config: a.config, Findings: []finding{}}
	loaded, err := configs.Load(a.config)
	var problems configs.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			c.Findings = append(c.Findings, finding{isError, p})
		}
		c.Programs = findTools(ctx, configs.Programs{}).all()
	case err != nil:
		return err
	default:
		found := findTools(ctx, loaded.Programs)
		c.Programs, c.Policy, c.Clients = found.all(), loaded.Hash, len(loaded.Clients)
		held, findings := checkConfinement(loaded, ability())
		c.Confinement = held.String()
		c.Findings = append(findings, checkHost(ctx, loaded, found, held, now)...)
	}
	c.OK = count(c.Findings, isError) == 0
	if err := a.result(c, c.print); err != nil {
		return err
	}
	if !c.OK {
		return errNo
	}
	return nil
}

// notForAnother keeps root from asking about a gateway of another user: root may
// read, write and hold everything, so the answer would be worth nothing.
func notForAnother(config, command string) error {
	uid := gatewayUser(config)
	if uid == os.Geteuid() || os.Geteuid() != 0 {
		return nil
	}
	return fmt.Errorf("%s belongs to uid %d, and only that user can tell what it may read and write; run sudo -u '#%d' postern %s --config %s",
		config, uid, uid, command, shellWord(config))
}

func (c checked) print(w io.Writer) {
	for _, f := range c.Findings {
		f.print(w)
	}
	if len(c.Findings) > 0 {
		fmt.Fprintln(w)
	}
	rows := [][]string{{"config", c.Config}, {"clients", fmt.Sprint(c.Clients)}}
	if c.Policy != "" {
		rows = append(rows, []string{"policy", c.Policy})
	}
	for _, t := range c.Programs {
		if t.Path != "" {
			rows = append(rows, []string{t.Name, strings.TrimSpace(t.Version + " " + t.Path)})
		}
	}
	if c.Confinement != "" {
		rows = append(rows, []string{"confinement", c.Confinement})
	}
	table(w, append(rows, []string{"result", c.verdict()}))
}

func (c checked) verdict() string {
	errs, warnings := count(c.Findings, isError), count(c.Findings, isWarning)
	switch {
	case errs > 0:
		return fmt.Sprintf("not fit to serve: %s, %s", plural(errs, "error"), plural(warnings, "warning"))
	case warnings > 0:
		return "fit to serve, with " + plural(warnings, "warning")
	}
	return "fit to serve"
}

func plural(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
