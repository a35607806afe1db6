package main

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/policy"
)

// question is what explain is asked.
type question struct {
	subject, from, login string
	// words is the exec string, or with typed the command line of a client.
	words []string
	typed bool
}

func newExplain(a *app) *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "explain CLIENT|KEY|FINGERPRINT 'EXEC STRING' | -- rsync|borg ...",
		Short: "Say what would happen to a command, and which rule says so",
		Long: `Explain asks the functions that serve calls: who the key is, whether it may come
in, and what becomes of the command. It starts nothing of it.

The first argument is the name of a client, a public key or the file of one, or a
fingerprint. The command is the exec string that a client sends, as one argument;
or, behind "--", an rsync or borg command line as it is typed on the client. That
is turned into what the client would send by running the rsync or borg of this
host in an empty folder, without a network.

The exit status is 0 when the command is allowed and 1 when it is refused.`,
		Example: `  postern explain laptop -- rsync -a --delete /home/ backup@nas:/volume1/Backups/laptop/
  postern explain laptop.pub --from 192.168.1.7 -- borg create ssh://backup@nas/volume1/Backups/laptop.borg::now /home
  postern explain laptop 'rsync --server -logDtpre.iLsfxCIvu . /volume1/Backups/laptop/'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if q, err = q.asked(args, cmd.ArgsLenAtDash()); err != nil {
				return err
			}
			return run(func([]string) error { return a.explain(context.Background(), q, time.Now()) })(cmd, args)
		},
		ValidArgsFunction: a.completeClient,
	}
	cmd.Flags().StringVar(&q.from, "from", "", "the `address` that the client comes from")
	cmd.Flags().StringVar(&q.login, "login", "", "the login `name` that the client uses")
	a.jsonFlag(cmd)
	return cmd
}

// asked completes the question with the arguments; dash is where "--" stood, or
// -1.
func (q question) asked(args []string, dash int) (question, error) {
	q.subject = args[0]
	switch {
	case dash == 0:
		return q, usagef(`name the client before "--"`)
	case dash == 1 && len(args) > 1:
		q.words, q.typed = args[1:], true
	case dash == -1 && len(args) == 2:
		q.words = args[1:]
	case dash == -1 && len(args) > 2:
		return q, usagef(`the exec string must be one argument, in quotes; a command line as it is typed on the client goes behind "--"`)
	default:
		return q, usagef(`a command is missing: the exec string in quotes, or "--" and a command line`)
	}
	return q, nil
}

// aboutBorg reports whether borg can be meant. It is true too often rather than
// too rarely: aliases may be any name.
func (q question) aboutBorg() bool {
	program, _, _ := strings.Cut(q.words[0], " ")
	return path.Base(program) != "rsync"
}

func (a *app) explain(ctx context.Context, q question, now time.Time) error {
	if err := notForAnother(a.config, "explain"); err != nil {
		return err
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	set := c.Set()
	find := findTools
	if !q.aboutBorg() {
		find = findRsync
	}
	found := find(ctx, c.Programs)
	held, err := confinement(c.Sandbox, ability())
	if err != nil {
		return err
	}
	host := found.host(c, held)
	if q.aboutBorg() {
		key, err := loadHostKey(c.HostKeys[0])
		if err != nil {
			return err
		}
		host.BorgHostID = borgHostID(key.PublicKey())
	}
	e := &explained{Confinement: held.String()}
	command, err := q.command(ctx, found, e)
	if err != nil {
		return err
	}
	who, err := identify(set, trustOf(c), q, command.login, now, e)
	if err != nil {
		return err
	}
	if who != nil {
		e.decide(ctx, *who, host, command, now)
	}
	if err := a.result(e, e.print); err != nil {
		return err
	}
	if e.Decision != policy.Deny.String() {
		return nil
	}
	if !q.typed && !a.json && looksTyped(command.exec) {
		a.hint("If that is how it is typed on the client, put it behind \"--\", without the quotes around it.")
	}
	return errNo
}

// looksTyped reports whether an exec string is rather what somebody types on a
// client.
func looksTyped(exec string) bool {
	words := strings.Fields(exec)
	return len(words) > 1 && slices.Contains([]string{"rsync", "borg"}, path.Base(words[0])) &&
		!slices.Contains(words, "--server") && !slices.Contains(words, "serve")
}

// command is what explain decides about.
type command struct {
	exec     string
	secluded []string
	// login is the one of a typed command line.
	login string
	// borg is set for a typed borg command line.
	borg *borgLine
}

// command returns the exec string of the question, which for a typed command line
// is asked of the real program.
func (q question) command(ctx context.Context, found tools, e *explained) (command, error) {
	if !q.typed {
		e.Command = q.words[0]
		return command{exec: q.words[0]}, nil
	}
	line, borg, program, err := typedLine(q.words, found)
	if err != nil {
		return command{}, err
	}
	s, err := line.run(ctx)
	if err != nil {
		return command{}, err
	}
	e.Command, e.Secluded = s.Exec, s.Secluded
	e.assume("the client runs %s %s, as this host does", program.Name, program.Version)
	return command{exec: s.Exec, secluded: s.Secluded, login: s.Login, borg: borg}, nil
}

// typedLine makes a typed command line ready to be run here.
func typedLine(words []string, found tools) (captured, *borgLine, tool, error) {
	var program tool
	var args func(shell, scratch string) []string
	var borg *borgLine
	switch path.Base(words[0]) {
	case "rsync":
		line, err := parseRsyncLine(words[1:])
		if err != nil {
			return captured{}, nil, tool{}, err
		}
		program, args = found.rsync, line.args
	case "borg":
		line, err := parseBorgLine(words[1:])
		if err != nil {
			return captured{}, nil, tool{}, err
		}
		program, args, borg = found.borg, line.args, &line
	default:
		return captured{}, nil, tool{}, usagef("%q is neither rsync nor borg; leave out what stands before it", words[0])
	}
	if program.Path == "" || program.Problem != "" {
		return captured{}, nil, tool{}, fmt.Errorf("there is no %s on this host to ask what it would send; give the exec string instead", program.Name)
	}
	return captured{program: program.Path, args: args}, borg, program, nil
}

// anyAddress stands for the address that was not given, where none matters.
func anyAddress() netip.Addr { return netip.IPv6Unspecified() }
