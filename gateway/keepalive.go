package gateway

import (
	"time"

	gliderssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"
)

// leastPauses is how many pauses there are at least in the time after which a peer is
// given up: between them it is asked three times, as by ClientAliveCountMax of sshd.
const leastPauses = 4

// keepaliveRequest is a request that OpenSSH knows and that every other client
// must answer too, if only by refusing it.
const keepaliveRequest = "keepalive@openssh.com"

// watchSilence ends a connection whose peer has gone without a word. Anything
// that arrives is a sign of life, an answer or a refusal to answer included:
// behind a slow line an answer waits for the data before it. That nothing else
// arrives says nothing: the programs at both ends may be at work for hours.
func (c *connection) watchSilence(ctx gliderssh.Context) {
	heard, silent := c.heard.Load(), time.Duration(0)
	for {
		idle := c.idle()
		pause := min(c.server.config.KeepAlive, idle/leastPauses)
		if !c.rest(pause) {
			return
		}
		if now := c.heard.Load(); now != heard {
			heard, silent = now, 0
			continue
		}
		if silent += pause; silent >= idle {
			c.end(endSilent)
			return
		}
		// In another goroutine, since a peer that does not read blocks it.
		if c.asking.CompareAndSwap(false, true) {
			c.spawn(func() { defer c.asking.Store(false); c.ask(ctx) })
		}
	}
}

// idle is how long the peer may be silent, by the limits of its client now.
func (c *connection) idle() time.Duration {
	if own := c.standing.Load().Client.Bounds.Idle; own > 0 {
		return own
	}
	return c.server.config.Idle
}

// rest waits, and reports whether the connection has not ended meanwhile.
func (c *connection) rest(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// ask asks for a sign of life.
func (c *connection) ask(ctx gliderssh.Context) {
	if conn, ok := ctx.Value(gliderssh.ContextKeyConn).(*ssh.ServerConn); ok {
		// Whether it succeeds does not matter; that something arrives does.
		_, _, _ = conn.SendRequest(keepaliveRequest, true, nil)
	}
}
