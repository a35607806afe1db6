package main

import (
	"context"
	"errors"
	"os"
	"time"

	"postern/audit"
	"postern/gateway"
	"postern/gateway/control"
	"postern/gateway/door"
)

// running is a gateway that commands ask.
type running struct {
	server   *gateway.Server
	door     *door.Door
	keeper   *door.Keeper
	reloader *reloader
	upgrades *upgrading
	trail    *audit.Trail
	socket   *control.Server
	started  time.Time
}

// keepPause is how often the gateway looks whether its door has changed.
const keepPause = time.Second

// control has the door take up what the state has of it, and keep that there, and
// answers commands, until stop is called. What commands do to that file while no
// gateway runs, they do before the one or after the other: see [control.Hold].
func (g *running) control(ctx context.Context, a *app, state string) (stop func() error, err error) {
	release, err := holdControl(state, holdTime)
	if err != nil {
		return nil, err
	}
	defer release()
	if g.keeper, err = door.Keep(g.door, state); err != nil {
		a.hint("postern: the gateway begins without the penalties that it had given: %v", err)
	}
	if g.socket, err = g.listen(state); err != nil {
		return nil, err
	}
	rest := every(ctx, keepPause, func() {
		_ = g.keep(g.keeper.Work)
		g.reappear(state)
	})
	return func() error {
		rest()
		release, err := holdControl(state, holdTimeEnd)
		if err == nil {
			defer release()
		}
		return errors.Join(err, g.socket.Close(), g.keepLast(state))
	}, nil
}

// listen begins to answer. The caller holds the folder.
func (g *running) listen(state string) (*control.Server, error) {
	return control.Listen(controlFolder(state), control.Config{
		Questions: g.questions(),
		// A record that fails here changes nothing: nobody was answered.
		Refused:  func(p control.Peer) { _ = g.trail.ControlRefused(p.UID, p.PID) },
		Panicked: func(cause, stack string) { _ = g.trail.Panicked(audit.Connection{}, cause, stack) },
	})
}

// reappear makes the socket anew where somebody removed it. What fails is tried again.
func (g *running) reappear(state string) {
	if !g.socket.Gone() {
		return
	}
	release, err := holdControl(state, holdTimeEnd)
	if err != nil {
		return
	}
	defer release()
	_ = g.socket.Close() // nobody finds it
	if socket, err := g.listen(state); err == nil {
		g.socket = socket
	}
}

// keep saves what the door knows, unless the gateway retires: the one that took over
// from it has the file then.
func (g *running) keep(save func() error) error {
	if _, retiring := g.server.Retiring(); retiring {
		return nil
	}
	return save()
}

// keepLast saves what the door knows when nobody is answered any more, unless another
// gateway has the file.
func (g *running) keepLast(state string) error {
	if _, err := askSoon[gatewayStatus](state, askStatus, nothing{}); !errors.Is(err, control.ErrNone) {
		return nil
	}
	return g.keeper.Save()
}

// questions are those that it answers.
func (g *running) questions() []control.Question {
	return []control.Question{
		control.On(askStatus, func(context.Context, nothing) (gatewayStatus, error) { return g.status(), nil }),
		control.On(askSessions, func(context.Context, nothing) ([]gateway.Session, error) { return g.server.Sessions(), nil }),
		control.On(askKill, g.kill),
		control.On(askUpgrade, func(ctx context.Context, _ nothing) (upgraded, error) { return g.upgrades.ask(ctx) }),
		control.On(askReload, func(ctx context.Context, _ nothing) (reloaded, error) { return g.reloader.ask(ctx) }),
		control.On(askBans, func(context.Context, nothing) ([]door.Bar, error) { return g.door.Bars(), nil }),
		control.On(askUnban, func(_ context.Context, q unbanned) (int, error) {
			if q.All == q.Network.IsValid() {
				return 0, errors.New("a network is to be named, or all")
			}
			return g.door.Lift(q.Network), g.keep(g.keeper.Save)
		}),
	}
}

// killTime is how long a command waits for the ends of sessions, which take a second.
const killTime = 5 * time.Second

func (g *running) kill(ctx context.Context, q target) ([]gateway.Session, error) {
	if !q.isOne() {
		return nil, errors.New("a session or a client is to be named, or all")
	}
	ctx, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	return g.server.Kill(ctx, q.means), nil
}

func (g *running) status() gatewayStatus {
	latest := g.reloader.latest.Load()
	s := gatewayStatus{
		PID: os.Getpid(), Version: thisBuild().Version, Since: g.started.UTC(), State: stateServing,
		Sessions: len(g.server.Sessions()), Connections: g.server.Connections(), Policy: latest.Policy, Problems: latest.Problems,
	}
	if until, is := g.server.Retiring(); is || g.upgrades.over.Load() {
		s.State = stateRetiring
		if !until.IsZero() {
			s.Until = &until
		}
	}
	return s
}
