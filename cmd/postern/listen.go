package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"postern/configs"
	"postern/gateway/upgrade"
	"postern/internal/listening"
)

// places are where a gateway is told to listen, beside its file.
type places struct {
	// handed are the sockets that systemd hands over.
	handed []listening.Listener
	// named are the addresses of --listen.
	named []string
	// left are the sockets of a gateway from which this one takes over.
	left []upgrade.Socket
}

// toldPlaces returns the places beside the file. It comes before anything is
// started, for what it takes out of the environment.
func toldPlaces(named []string) (places, error) {
	handed, err := listening.Handed()
	if err == nil && len(handed) > 0 && len(named) > 0 {
		err = errors.New("systemd hands over sockets, and --listen names others; leave --listen out, or disable the socket unit")
	}
	return places{handed: handed, named: named}, err
}

// open returns the sockets to accept connections from, all of them or none: those of
// systemd, or else those of --listen, or else those of the file.
//
// The address of each is what asked says; it is empty for those of systemd.
func (p places) open(ctx context.Context, file []string) (all []listening.Listener, asked []string, err error) {
	asked = file
	if len(p.named) > 0 {
		asked = p.named
	}
	switch handed := p.leftBySystemd(); {
	case len(p.handed) > 0:
		return p.handed, make([]string, len(p.handed)), nil
	case len(handed) > 0:
		all, err := adopt(handed)
		return all, make([]string, len(handed)), err
	}
	all, err = p.openAll(ctx, asked)
	return all, asked, err
}

// release closes what a gateway before left: what this one uses it has open by itself.
func (p places) release() {
	for _, s := range p.left {
		s.File.Close()
	}
}

// leftBySystemd are the sockets that the gateway before got from systemd, which hands
// them over to the first one alone.
func (p places) leftBySystemd() []upgrade.Socket {
	return slices.DeleteFunc(slices.Clone(p.left), func(s upgrade.Socket) bool { return s.Asked != "" })
}

// leftAt returns the socket of the gateway before at an address.
func (p places) leftAt(address string) (upgrade.Socket, bool) {
	wanted, err := listening.Parse(address)
	i := slices.IndexFunc(p.left, func(s upgrade.Socket) bool {
		had, wrong := listening.Parse(s.Asked)
		return err == nil && wrong == nil && had == wanted
	})
	if i < 0 {
		return upgrade.Socket{}, false
	}
	return p.left[i], true
}

// adopt returns the sockets that another gateway left.
func adopt(left []upgrade.Socket) ([]listening.Listener, error) {
	var all []listening.Listener
	for _, s := range left {
		l, err := listening.Of(s.File)
		if err != nil {
			return nil, fmt.Errorf("the socket %s of the gateway that runs, %w", s.Name, err)
		}
		all = append(all, l)
	}
	return all, nil
}

func (p places) openAll(ctx context.Context, addresses []string) ([]listening.Listener, error) {
	var all []listening.Listener
	for _, text := range addresses {
		l, err := p.openOne(ctx, text)
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

func (p places) openOne(ctx context.Context, text string) (listening.Listener, error) {
	if s, is := p.leftAt(text); is {
		all, err := adopt([]upgrade.Socket{s})
		if err != nil {
			return listening.Listener{}, err
		}
		return all[0], nil
	}
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
