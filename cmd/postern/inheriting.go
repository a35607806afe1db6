package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"postern/gateway/upgrade"
)

// inherit says that this process could serve, and returns what the gateway leaves to it
// that it takes over from. Without one that is nothing.
func (u *upgrading) inherit() (*upgrade.Estate, error) {
	if u.from == nil {
		return &upgrade.Estate{}, nil
	}
	e, err := u.from.Estate()
	if err != nil {
		return nil, err
	}
	for _, f := range e.Older {
		p, err := upgrade.Inherit(f) // which closes it
		if err != nil {
			return nil, err
		}
		u.after(p)
	}
	return e, nil
}

// after notes a gateway that this one took over from, until that has ended.
func (u *upgrading) after(p *upgrade.Predecessor) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.older = append(u.older, p)
	go func() {
		<-p.Gone()
		u.mu.Lock()
		defer u.mu.Unlock()
		p.Close()
		u.older = slices.DeleteFunc(u.older, func(o *upgrade.Predecessor) bool { return o == p })
	}()
}

// ready tells the gateway before that this one serves. If that has gone meanwhile this
// one is the only one, and serves as well.
func (u *upgrading) ready() {
	if u.from == nil {
		return
	}
	if u.from.Ready() == nil {
		u.after(u.from)
	} else {
		u.from.Close()
	}
	u.from = nil
}

// fail tells the gateway before why this one does not serve, if it ever was to.
func (u *upgrading) fail(err error) {
	if u.from != nil && err != nil {
		u.from.Fail(errors.New(strings.Join(problemWords(err), "; ")))
	}
}

// stop has the gateways end that this one took over from, and nobody take over from this
// one, whose sockets would stay open otherwise while it drains.
func (u *upgrading) stop() {
	u.drop()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.older {
		p.Stop()
	}
}

// awaitOlder waits until they have ended, so that whoever ended this one has ended all,
// or for a time.
func (u *upgrading) awaitOlder(most time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	u.mu.Lock()
	older := slices.Clone(u.older)
	u.mu.Unlock()
	for _, p := range older {
		select {
		case <-p.Gone():
		case <-ctx.Done():
		}
	}
}
