package gateway

import (
	"io"
	"time"

	"postern/gateway/door"
)

// arrive asks the door whether the connection goes on. Nothing was read yet.
func (c *connection) arrive() (err error) {
	if !c.server.isProxy(c.peer.Addr()) {
		return c.knock()
	}
	c.awaited, err = c.server.config.Door.Await()
	return err
}

// knock asks the door whether the peer is served.
func (c *connection) knock() (err error) {
	c.visit, err = c.server.config.Door.Knock(c.peer.Addr(), c.giveWay)
	return err
}

// giveWay ends the connection for another.
func (c *connection) giveWay() { c.end(endCrowded) }

// refusalTime is how long a peer may take to take in one line: it fits into what the
// system keeps for a new connection.
const refusalTime = time.Second

// turnAway ends a connection that is not served. The line is one that may stand
// before SSH begins (RFC 4253, 4.2); clients print it.
func (c *connection) turnAway(why error) {
	// A record that fails here changes nothing: nothing was accepted.
	_ = c.server.config.Trail.ConnectionRefused(c.about, why.Error())
	if c.SetWriteDeadline(time.Now().Add(refusalTime)) == nil {
		_, _ = io.WriteString(c.Conn, "postern: not now; try again later\r\n") // it is turned away whether or not it reads this
	}
	c.end(endCrowded)
}

// failing notes what the peer failed at, unless that was worse before.
func (c *connection) failing(what door.Outcome) { c.failed = max(c.failed, what) }

// outcome is what the door is told of a peer that was not let in.
func (c *connection) outcome() door.Outcome {
	switch c.why() {
	case endPanic:
		return door.Crash
	case endStopping:
		return door.Nothing
	case endGrace:
		return door.GraceExceeded
	}
	if c.blameless {
		return door.Nothing
	}
	return max(c.failed, door.NoAuth)
}
