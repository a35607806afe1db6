package gateway

import (
	"context"
	"fmt"
	"net"
	"time"
)

// acceptor is one listener, and the loop that accepts from it.
type acceptor struct {
	net.Listener
	// turned gets a value when the loop went round because it was woken.
	turned chan struct{}
}

// wakeable is a listener whose Accept returns at a deadline.
type wakeable interface{ SetDeadline(time.Time) error }

// Alive returns once everything that accepts connections has shown that it does, or
// why the context was done before. A gateway that is not to accept any is alive. One
// call goes on at a time.
func (s *Server) Alive(ctx context.Context) error {
	for _, a := range s.acceptors.all() {
		select {
		case <-a.turned: // for a call that did not wait for it
		default:
		}
		// A listener that cannot be woken tells nothing, nor does a closed one.
		if l, ok := a.Listener.(wakeable); !ok || l.SetDeadline(time.Unix(1, 0)) != nil {
			continue
		}
		select {
		case <-a.turned:
		case <-s.retirement.shut.reached:
		case <-ctx.Done():
			return fmt.Errorf("nobody accepts connections on %s: %w", a.Addr(), ctx.Err())
		}
	}
	return nil
}

// turn shows that the loop goes round.
func (a *acceptor) turn() {
	if l, ok := a.Listener.(wakeable); ok {
		_ = l.SetDeadline(time.Time{}) // it fails only when the listener is closed, as Accept will
	}
	select {
	case a.turned <- struct{}{}:
	default:
	}
}
