package gateway

import (
	"time"

	gliderssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"
)

// maxUnanswered is how many questions a peer may leave without an answer, as
// ClientAliveCountMax of sshd.
const maxUnanswered = 3

// keepaliveRequest is a request that OpenSSH knows and that every other client
// must answer too, if only by refusing it.
const keepaliveRequest = "keepalive@openssh.com"

// watchSilence ends a connection whose peer has gone without a word. Anything
// that arrives is a sign of life, an answer or a refusal to answer included:
// behind a slow line an answer waits for the data before it. Sending happens in
// other goroutines, since a peer that does not read blocks it.
func (c *connection) watchSilence(ctx gliderssh.Context) {
	ticker := time.NewTicker(c.server.config.KeepAlive)
	defer ticker.Stop()
	heard, unanswered := c.heard.Load(), 0
	for {
		select {
		case <-ticker.C:
		case <-c.ctx.Done():
			return
		}
		if now := c.heard.Load(); now != heard {
			heard, unanswered = now, 0
			continue
		}
		if unanswered == maxUnanswered {
			c.end(endSilent)
			return
		}
		unanswered++
		c.spawn(func() { c.ask(ctx) })
	}
}

// ask asks for a sign of life.
func (c *connection) ask(ctx gliderssh.Context) {
	if conn, ok := ctx.Value(gliderssh.ContextKeyConn).(*ssh.ServerConn); ok {
		// Whether it succeeds does not matter; that something arrives does.
		_, _, _ = conn.SendRequest(keepaliveRequest, true, nil)
	}
}
