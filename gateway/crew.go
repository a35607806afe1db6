package gateway

import "sync"

// crew counts those at work. Unlike a [sync.WaitGroup] it can be dismissed:
// from then on nobody joins, so that whoever waits for its end knows that there
// is one.
type crew struct {
	mu        sync.Mutex
	members   int
	dismissed bool
	// last says that who leaves as the last one dismisses the crew.
	last bool
	gone <-chan struct{}
	over func()
}

func newCrew() *crew {
	gone := newStage()
	return &crew{gone: gone.reached, over: gone.reach}
}

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
	c.rest()
}

// rest looks whether all have left for good. It is called with the lock.
func (c *crew) rest() {
	if c.members == 0 && (c.dismissed || c.last) {
		c.dismissed = true
		c.over()
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
	c.dismissed = true
	c.rest()
	return c.gone
}

// dismissIdle is like dismiss, but as long as somebody is at work others join.
func (c *crew) dismissIdle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = true
	c.rest()
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
