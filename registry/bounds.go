package registry

import (
	"time"

	"postern/policy"
)

// Bounds is what a client takes of the gateway at most, over all its connections
// together. The zero value has no limit.
type Bounds struct {
	// Connections and Sessions are how many it has at once.
	Connections, Sessions policy.Limit
	// In is how fast its data reaches the programs that serve it, and Out how fast
	// theirs reaches it, both in bytes a second.
	In, Out policy.Limit
	// Hours are when its sessions may begin, and EndAfterHours ends those that run
	// when they are over.
	Hours         Hours
	EndAfterHours bool
	// SessionTime is how long a session may take; zero is for ever.
	SessionTime time.Duration
	// Idle is how long a peer may leave every question whether it is there without
	// an answer; zero stands for what the gateway has for all.
	Idle time.Duration
}
