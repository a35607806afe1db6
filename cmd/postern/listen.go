package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"postern/configs"
	"postern/internal/listening"
)

// places are where a gateway is told to listen, beside its file.
type places struct {
	// handed are the sockets that systemd hands over.
	handed []listening.Listener
	// named are the addresses of --listen.
	named []string
}

// toldPlaces returns the places beside the file. It comes before anything is
// started, for what it takes out of the environment.
func toldPlaces(named []string) (places, error) {
	handed, err := listening.Handed()
	if err == nil && len(handed) > 0 && len(named) > 0 {
		err = errors.New("systemd hands over sockets, and --listen names others; leave --listen out, or disable the socket unit")
	}
	return places{handed, named}, err
}

// open returns the sockets to accept connections from, all of them or none: those of
// systemd, or else those of --listen, or else those of the file.
func (p places) open(ctx context.Context, file []string) ([]listening.Listener, error) {
	switch {
	case len(p.handed) > 0:
		return p.handed, nil
	case len(p.named) > 0:
		return openAll(ctx, p.named)
	}
	return openAll(ctx, file)
}

func openAll(ctx context.Context, addresses []string) ([]listening.Listener, error) {
	var all []listening.Listener
	for _, text := range addresses {
		l, err := openOne(ctx, text)
		if err != nil {
			for _, open := range all {
				_ = open.Close() // nobody used it
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func openOne(ctx context.Context, text string) (listening.Listener, error) {
	address, err := listening.Parse(text)
	if err != nil {
		return listening.Listener{}, fmt.Errorf("cannot listen: %w", err)
	}
	return address.Open(ctx)
}

// accepting are the sockets as the gateway takes them.
func accepting(all []listening.Listener) []net.Listener {
	var listeners []net.Listener
	for _, l := range all {
		listeners = append(listeners, l)
	}
	return listeners
}

// checkListen finds out whether the gateway could listen at its addresses, with
// ports that the system chooses: its own are taken where one runs.
func checkListen(ctx context.Context, c *configs.Config) []finding {
	var all []finding
	for _, text := range c.Listen {
		address, err := listening.Parse(text)
		if err != nil {
			continue // it was refused when it was read
		}
		address.Port = 0
		l, err := address.Open(ctx)
		var failure *listening.Failure
		switch {
		case err == nil:
			_ = l.Close() // nobody used it
		case errors.As(err, &failure):
			all = append(all, mistake(c.Path, fmt.Sprintf("listen: %q: %v", text, failure.Cause), failure.Remedy))
		}
	}
	return all
}
