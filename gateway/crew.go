package gateway

import "sync"

// crew counts those at work. Unlike a [sync.WaitGroup] it can be dismissed:
// from then on nobody joins, so that whoever waits for its end knows that there
// is one.
type crew struct {
	mu        sync.Mutex
	members   int
	dismissed bool
	gone      chan struct{}
}

func newCrew() *crew { return &crew{gone: make(chan struct{})} }

// join reports whether there is still work; then leave must follow.
func (c *crew) join() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dismissed {
		return false
	}
	c.members++
	return true
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members--
	if c.dismissed && c.members == 0 {
		close(c.gone)
	}
}

// size is how many are at work.
func (c *crew) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members
}

// dismiss lets nobody join any more. The channel is closed once all have left.
func (c *crew) dismiss() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dismissed {
		c.dismissed = true
		if c.members == 0 {
			close(c.gone)
		}
	}
	return c.gone
}

// stage is a point that is reached once and stays reached.
type stage struct {
	// reached is closed when it is.
	reached <-chan struct{}
	reach   func()
}

func newStage() stage {
	reached := make(chan struct{})
	return stage{reached: reached, reach: sync.OnceFunc(func() { close(reached) })}
}

// isReached reports whether it is.
func (s stage) isReached() bool {
	select {
	case <-s.reached:
		return true
	default:
		return false
	}
}
