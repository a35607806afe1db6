package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/configs"
	"postern/gateway"
	"postern/gateway/door"
	"postern/internal/durable"
	"postern/internal/listening"
	"postern/registry"
	"postern/sandbox"
)

func newServe(a *app) *cobra.Command {
	var listen []string
	var drain time.Duration
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Serve runs the gateway until it gets SIGTERM or SIGINT. Then nobody new is served, and
the sessions that run may finish, for as long as drain in the file or --drain says;
another signal ends them at once.

A change of the clients' files, of certificates or of the revocation list takes
effect within a second; on a network share, whose changes the kernel does not tell,
within some seconds. SIGHUP and postern reload have all files read again at once.
They are taken whole or not at all: where something is wrong with one, the gateway
goes on by those before, and says so ("policy refused"). Sessions that are no longer allowed end, and
their clients read why; all others go on. Other keys of postern.yaml take effect at
the next start; "policy loaded" names those that wait for it (next_start).

SIGUSR2, or "postern upgrade", has a new process take over: of the binary as it is then,
with the same arguments, while sessions go on in this one.

It listens on the sockets that systemd hands over, else where --listen says, else where
listen in the file says.

What happens is written to standard error: one line of JSON for each event, or
lines for people when that is a terminal. "gateway started" says what is served.
The whole trail goes to standard output, journald or syslog servers as audit.send
in the configuration says.`,
		Example: `  postern serve
  postern serve --listen 127.0.0.1:2222
  postern serve --listen eth0:2222
  postern serve --drain 10m`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = run(func([]string) error {
		limit := &drain
		if !cmd.Flags().Changed("drain") {
			limit = nil
		} else if drain < 0 {
			return usagef("--drain %s is less than nothing; write 0s to end sessions at once", drain)
		}
		return a.serve(listen, limit)
	})
	cmd.Flags().DurationVar(&drain, "drain", configs.DefaultDrain, "let sessions go on for so long when told to stop, such as 30s or 10m, instead of what the file says")
	cmd.Flags().StringSliceVar(&listen, "listen", nil, "listen on this `address`, or on an interface as NAME:PORT, instead of the file's; may be repeated")
	return cmd
}

// serve serves until a signal ends it. What the flags do not say, listen is empty for
// and drain nil, is as the file says.
func (a *app) serve(listen []string, drain *time.Duration) (err error) {
	leave := newLeaving()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop() // it ends what comes before serving
	// What the gateway itself writes is nobody else's business.
	syscall.Umask(0o077)
	told, err := toldPlaces(listen)
	if err != nil {
		return err
	}
	u, err := newUpgrading()
	if err != nil {
		return err
	}
	defer func() { u.fail(err) }()
	loader := configs.NewLoader(a.config)
	c, err := frugally(loader.Load)
	if err != nil {
		if u.from == nil { // which records it
			a.refused(err)
		}
		return err
	}
	removeLeftovers(c)
	held, err := confinement(c.Sandbox, ability())
	if err != nil {
		return err
	}
	if err := prepareState(c); err != nil {
		return err
	}
	to, err := destinations(c, a.stdout)
	if err != nil {
		return err
	}
	// Otherwise the end of who reads standard output or error would be the gateway's.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	found := findTools(ctx, c.Programs)
	left, err := u.inherit()
	if err != nil {
		return err
	}
	told.left = left.Sockets
	trail, err := audit.Open(audit.Options{
		Dir: auditFolder(c.State), Prints: logWriter(a.stderr, c.LogLevel), Now: time.Now,
		Keep: audit.Keep{Age: c.Audit.Keep, Size: c.Audit.Size}, Offered: left.Trail,
	})
	if err != nil {
		return fmt.Errorf("%w%s", err, trailRemedy(err))
	}
	duty := &duties{app: a, trail: trail, folder: auditFolder(c.State), to: to}
	if err := duty.send(); err != nil {
		return errors.Join(err, trail.Close())
	}
	u.trail, u.duties, u.leave = trail, duty, leave
	leave.trail, leave.limit, leave.pass = trail, c.Drain, u.stop
	if drain != nil {
		leave.limit = *drain
	}
	r := newReloader(loader, c, trail)
	err = a.serveWith(ctx, r, u, told, found, held)
	r.watcher.Close()
	duty.stopSending()
	return errors.Join(err, trail.Close())
}

// removeLeftovers removes the temporary files and folders of gateways and commands
// that were killed.
func removeLeftovers(c *configs.Config) {
	sandbox.RemoveLeftovers()
	durable.RemoveLeftovers(c.State)
	durable.RemoveLeftovers(c.ClientsDir)
}

// trailRemedy says what to do about a trail that cannot be written.
func trailRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; make room on this disk, or keep less with audit.keep.size"
	case errors.Is(err, syscall.EROFS):
		return "; mount it for writing, or name another folder with state"
	}
	return ""
}

// serveWith serves, and records that it began and ended.
func (a *app) serveWith(ctx context.Context, r *reloader, u *upgrading, told places, found tools, held sandbox.Level) error {
	c, trail, d := r.current, r.trail, doorOf(r.current.Door)
	server, keys, err := newGateway(c, found, held, trail, d)
	if err != nil {
		return err
	}
	leave, duty := u.leave, u.duties
	r.server, leave.server, u.server, duty.server, u.reloader = server, server, server, server, r
	listeners, asked, err := told.open(ctx, c.Listen)
	told.release()
	if err != nil {
		return err
	}
	if err := u.use(listeners, asked); err != nil {
		return err
	}
	g := &running{server: server, door: d, reloader: r, trail: trail, upgrades: u, started: time.Now()}
	deaf, err := g.control(context.WithoutCancel(ctx), a, c.State)
	if err != nil {
		return err
	}
	// What changed while no gateway ran comes before what it led to.
	err = trail.TakeNotes()
	if err == nil {
		err = trail.PolicyLoaded(c.Hash, len(c.Clients), countRules(c.Clients), nil)
	}
	if err == nil {
		err = trail.GatewayStarted(posture(c, found, held, keys, listeners))
	}
	if err != nil {
		return errors.Join(err, deaf())
	}
	tell(daemon.SdNotifyReady)
	u.ready()
	// All of it goes on while sessions finish.
	ctx = context.WithoutCancel(ctx)
	duty.keeper = g.keeper
	duty.begin()
	stops := []func(){beside(ctx, u.run), beside(ctx, r.run), beside(ctx, leave.run)}
	err = server.Serve(ctx, accepting(listeners)...)
	u.awaitReplacement()
	u.awaitOlder(stopTime(leave.limit))
	err = errors.Join(err, deaf())
	for _, stop := range stops {
		stop()
	}
	duty.end()
	return errors.Join(err, trail.GatewayStopped(leave.reason(err, u.over.Load())))
}

// newGateway puts the parts together.
func newGateway(c *configs.Config, found tools, held sandbox.Level, trail *audit.Trail, d *door.Door) (*gateway.Server, []ssh.Signer, error) {
	keys, err := loadHostKeys(c.HostKeys)
	if err != nil {
		return nil, nil, err
	}
	trust := trustOf(c)
	host := found.host(c, held)
	host.BorgHostID = borgHostID(keys[0].PublicKey())
	// The version is not told to peers: only who may come in needs to know.
	server, err := gateway.New(gateway.Config{
		HostKeys: keys, Clients: registry.NewStore(c.Set()), Host: host, Confinement: held, Trail: trail, Files: audit.Detail(c.Audit.Files),
		Authorities: trust.Authorities, Revocations: trust.Revocations,
		SessionsPerConnection: c.SessionsPerConnection, Idle: c.Idle, Door: d, Proxies: c.Proxies,
	})
	return server, keys, err
}

func loadHostKeys(files []string) ([]ssh.Signer, error) {
	var keys []ssh.Signer
	for _, path := range files {
		key, err := loadHostKey(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// prepareState makes what is missing in the state folder, and returns what is
// wrong with it.
func prepareState(c *configs.Config) error {
	if err := makeHome(homeFolder(c)); err != nil {
		return err
	}
	for _, f := range checkState(c) {
		return f
	}
	return nil
}

// makeHome makes the HOME of children where it is missing.
func makeHome(path string) error {
	err := durable.Mkdir(path, 0o500)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// trustOf copies what certificates are measured against.
func trustOf(c *configs.Config) gateway.Trust {
	trust := gateway.Trust{Authorities: c.Authorities}
	if c.Revoked != nil {
		trust.Revocations = c.Revoked
	}
	return trust
}

// posture is what the gateway says of itself at its start.
func posture(c *configs.Config, found tools, held sandbox.Level, keys []ssh.Signer, listeners []listening.Listener) audit.Start {
	s := audit.Start{
		Version: thisBuild().Version, Clients: len(c.Clients), Policy: c.Hash, Confinement: held.String(),
	}
	for _, l := range listeners {
		s.Listen = append(s.Listen, l.Name)
	}
	for _, k := range keys {
		s.HostKeys = append(s.HostKeys, ssh.FingerprintSHA256(k.PublicKey()))
	}
	for _, t := range found.all() {
		if t.Path == "" {
			continue
		}
		p := audit.Program{Name: t.Name, Path: t.Path, Version: t.Version}
		for _, h := range t.Holes {
			p.Holes = append(p.Holes, h.Name)
		}
		s.Programs = append(s.Programs, p)
	}
	return s
}
