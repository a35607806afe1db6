package gateway

import (
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway/limit"
	"postern/policy"
	"postern/registry"
)

// enter counts the connection among those of its client, until leave is called or it
// enters again: a peer that could not be let in may go on to another key. The error is
// for the peer, which has done nothing that the door would punish.
func (c *connection) enter(key ssh.PublicKey, who Identity) error {
	c.leave()
	account, err := c.server.accounts.Enter(c.ctx, who.Client)
	var denial *registry.Denial
	if errors.As(err, &denial) {
		c.refusing(key, true, denial.Code, denial.Message)
	}
	c.account = account
	return err
}

// leave counts the connection off, if it was counted.
func (c *connection) leave() {
	if c.account != nil {
		c.account.Leave()
	}
}

// takePlace is the gate of what the client's limits leave at the moment.
func (g *grant) takePlace() (leave func(), refusal *policy.Refusal) {
	if refusal := limit.Closed(g.client, g.since); refusal != nil {
		return nil, refusal
	}
	return g.session.account.Begin(g.client.Bounds)
}

// endOvertime ends the sessions whose time is over by the limits of the client.
func (c *connection) endOvertime(client registry.Client, now time.Time) {
	if client.Bounds.SessionTime == 0 && !client.Bounds.EndAfterHours {
		return
	}
	for _, g := range c.grants.all() {
		g.endOvertime(client, now)
	}
}

func (g *grant) endOvertime(client registry.Client, now time.Time) {
	if over := limit.Over(client, g.since, now); over != nil {
		g.session.cancel(&revocation{why: over.Error(), code: over.Code})
	}
}
