package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"postern/configs"
	"postern/gateway/control"
)

// The questions that a gateway answers.
const (
	askStatus   = "status"
	askSessions = "sessions"
	askKill     = "kill"
	askReload   = "reload"
	askBans     = "bans"
	askUnban    = "unban"
	askUpgrade  = "upgrade"
)

// nothing is asked with a question that says all by its name.
type nothing struct{}

const (
	// holdTime is how long a process waits for another to let go of the folder of
	// sockets: longer than that may ask anything meanwhile. A gateway that ends does
	// not wait that long.
	holdTime    = 15 * time.Second
	holdTimeEnd = 5 * time.Second
	// askTime is how long a command waits for answers that take no time.
	askTime = 10 * time.Second
)

// controlFolder is where the sockets of the gateways with a state folder are.
func controlFolder(state string) string { return filepath.Join(state, "control") }

// holdControl takes that folder: see [control.Hold].
func holdControl(state string, limit time.Duration) (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return control.Hold(ctx, controlFolder(state))
}

// state is the state folder of the gateway, which is asked also where its files are no
// good any more.
func (a *app) state() (string, error) {
	if state := configs.StateFolder(a.config, gatewayUser(a.config)); state != "" {
		return state, nil
	}
	c, err := a.load()
	if err != nil {
		return "", err
	}
	return c.State, nil
}

// ask puts a question to every gateway of a state folder.
func ask[A any](ctx context.Context, state, name string, question any) ([]control.Reply[A], error) {
	replies, err := control.Ask[A](ctx, controlFolder(state), name, question)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w%s", err, noteRemedy(err))
	}
	return replies, err
}

// askSoon is [ask] where the answers take no time.
func askSoon[A any](state, name string, question any) ([]control.Reply[A], error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	return ask[A](ctx, state, name, question)
}

// noGateway says what to do where an error says that no gateway runs.
func (a *app) noGateway(state string, err error) error {
	if !errors.Is(err, control.ErrNone) {
		return err
	}
	return fmt.Errorf("%w with the state in %s; start one with postern serve --config %s, or name the configuration of the one that runs with --config",
		err, state, shellWord(a.config))
}
