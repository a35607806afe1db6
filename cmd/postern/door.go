package main

import (
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
