package main

import (
	"context"
	"errors"
	"time"

	"postern/configs"
	"postern/gateway/door"
)

// doorOf copies which connections are served.
func doorOf(c configs.Door) *door.Door {
	return door.New(door.Config{
		Startups:  door.Startups{Start: c.Start, Rate: c.Rate, Full: c.Full},
		PerSource: c.PerSource, IPv4Bits: c.IPv4Bits, IPv6Bits: c.IPv6Bits,
		Penalties: door.Penalties(c.Penalties),
	})
}

// doorPause is how often the gateway looks for what commands ask of its door.
const doorPause = time.Second

// startKeeping has a door take up what the state has of it, and keep that there,
// until stop is called. What fails is tried again.
func (a *app) startKeeping(ctx context.Context, d *door.Door, state string) (stop func()) {
	keeper, err := door.Keep(d, state)
	if err != nil {
		a.hint("postern: the gateway begins without the penalties that it had given: %v", err)
	}
	_ = keeper.Work() // what was asked for while no gateway ran
	rest := every(ctx, doorPause, func() { _ = keeper.Work() })
	return func() {
		rest()
		_ = errors.Join(keeper.Work(), keeper.Save()) // the gateway ends all the same
	}
}
