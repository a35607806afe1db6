package main

import (
	"context"
	"fmt"
	"time"

	"postern/gateway/upgrade"
	"postern/internal/listening"
)

// upgradePatience is how long a new gateway may take for each of its two steps: far
// longer than reading ten thousand files and opening a long trail does, and both
// together less than a command waits.
const upgradePatience = 45 * time.Second

// use keeps the sockets of this gateway for the next one.
func (u *upgrading) use(listeners []listening.Listener, asked []string) error {
	for i, l := range listeners {
		f, err := l.File()
		if err != nil {
			return fmt.Errorf("keep the socket %s for an upgrade: %w", l.Name, err)
		}
		u.sockets = append(u.sockets, upgrade.Socket{Asked: asked[i], Name: l.Name, File: f})
	}
	return nil
}

// drop closes the sockets: nobody will get them from this gateway.
func (u *upgrading) drop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.sockets {
		s.File.Close()
	}
	u.sockets = nil
}

// bequeath leaves everything to a process that was started, or ends it.
func (u *upgrading) bequeath(ctx context.Context, s *upgrade.Successor) error {
	late := fmt.Errorf("it took longer than %s", upgradePatience)
	first, cancel := context.WithTimeoutCause(ctx, upgradePatience, late)
	defer cancel()
	if err := s.Prepared(first); err != nil {
		s.Abandon()
		return err
	}
	u.duties.rest()
	second, cancel := context.WithTimeoutCause(ctx, upgradePatience, late)
	defer cancel()
	err := u.leaveTo(second, s)
	if err == nil {
		if _, is := u.server.Retiring(); is {
			err = errStops
		}
	}
	if err != nil {
		s.Abandon()
		if !u.over.Load() {
			u.duties.resume()
		}
	}
	return err
}

// leaveTo leaves what this gateway has to another one.
func (u *upgrading) leaveTo(ctx context.Context, s *upgrade.Successor) error {
	offer, err := u.trail.Offer()
	if err != nil {
		return err
	}
	defer offer.Close()
	e, err := u.estate()
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range e.Older {
			f.Close()
		}
	}()
	e.Trail = offer.Files()
	return s.Bequeath(ctx, e)
}

// estate is what this gateway has but for its trail. The caller closes the files of the
// older gateways.
func (u *upgrading) estate() (*upgrade.Estate, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sockets == nil {
		return nil, errStops
	}
	e := &upgrade.Estate{Sockets: u.sockets}
	for _, p := range u.older {
		f, err := p.File()
		if err != nil {
			for _, f := range e.Older {
				f.Close()
			}
			return nil, err
		}
		e.Older = append(e.Older, f)
	}
	return e, nil
}
