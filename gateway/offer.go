package gateway

import (
	"errors"
	"fmt"
	"strings"

	gliderssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/gateway/door"
	"postern/registry"
)

// maxTries is how many keys a peer may name in vain, as in sshd.
const maxTries = 6

// identityKey is where the identity stands in a connection's permissions.
type identityKey struct{}

// identityOf returns who authenticated. It is read from the permissions of the
// finished handshake alone: the library's context is shared by every attempt.
func identityOf(conn *ssh.ServerConn) (*Identity, bool) {
	if conn.Permissions == nil {
		return nil, false
	}
	who, ok := conn.Permissions.ExtraData[identityKey{}].(*Identity)
	return who, ok
}

// authentication returns how peers authenticate on this connection. It is made
// anew for each, because the library changes it.
func (c *connection) authentication(ctx gliderssh.Context) *ssh.ServerConfig {
	return &ssh.ServerConfig{
		Config:                  c.server.algorithms,
		PublicKeyAuthAlgorithms: signatures(),
		MaxAuthTries:            maxTries,
		NoClientAuthCallback:    refuseNobody,
		VerifiedPublicKeyCallback: func(peer ssh.ConnMetadata, key ssh.PublicKey, _ *ssh.Permissions, _ string) (*ssh.Permissions, error) {
			permissions, err := c.verified(peer, key)
			if err == nil {
				c.spawn(func() { c.watchSilence(ctx) })
			}
			return permissions, err
		},
		PreAuthConnCallback: func(peer ssh.ServerPreAuthConn) {
			c.preauth = peer
			c.authenticating.reach()
		},
		AuthLogCallback: c.attempted,
	}
}

// refuseNobody refuses who shows no key at all. The library asks it only where
// it believes that nobody needs a key, which it has done by mistake.
func refuseNobody(ssh.ConnMetadata) (*ssh.Permissions, error) {
	return nil, errors.New("a key is required")
}

// offered tells whether a key is worth a signature. It decides nothing: whoever
// names a key need not hold it. The permissions are fresh for each key, and say
// only whether its signature needs a touch.
func (c *connection) offered(ctx gliderssh.Context, key gliderssh.PublicKey) bool {
	permissions := &ssh.Permissions{}
	ctx.SetValue(gliderssh.ContextKeyPermissions, &gliderssh.Permissions{Permissions: permissions})
	if cert, ok := key.(*ssh.Certificate); ok {
		if c.server.trust().vouchesFor(cert) {
			return true
		}
		c.refusing(key, false, "authority", "no trusted authority signed the certificate")
		return false
	}
	noTouch, known := c.server.config.Clients.Load().Knows(key)
	if !known {
		c.refusing(key, false, registry.UnknownKey, "the key is not registered")
		return false
	}
	if noTouch {
		permissions.Extensions = map[string]string{"no-touch-required": ""}
	}
	return true
}

// verified decides who the peer is, now that it has signed with the key. What it
// returns is all that counts from here on.
func (c *connection) verified(peer ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	who, err := c.server.identify(Peer{Key: key, Login: peer.User(), Address: c.peer.Addr()})
	if err != nil {
		var denial *registry.Denial
		if errors.As(err, &denial) {
			c.refusing(key, true, denial.Code, denial.Message)
			c.failing(door.RefuseConnection)
		}
		return nil, banner(err)
	}
	if err := c.enter(key, who); err != nil {
		c.blameless = true
		return nil, banner(err)
	}
	if err := c.admit(peer, who); err != nil {
		c.blameless = true
		return nil, banner(errNoRecords)
	}
	return &ssh.Permissions{
		CriticalOptions: addressOptions(who),
		ExtraData:       map[any]any{identityKey{}: &who},
	}, nil
}

// errNoRecords is what a client reads when the trail cannot be written.
var errNoRecords = errors.New("the gateway cannot keep its records; tell its operator to make room on the disk of its state")

// addressOptions has the library check once more where the peer comes from.
func addressOptions(who Identity) map[string]string {
	if cert, ok := who.Key.(*ssh.Certificate); ok {
		if list, ok := cert.CriticalOptions[sourceAddress]; ok {
			return map[string]string{sourceAddress: list}
		}
	}
	if len(who.Client.From) == 0 {
		return nil
	}
	networks := make([]string, len(who.Client.From))
	for i, network := range who.Client.From {
		networks[i] = network.String()
	}
	return map[string]string{sourceAddress: strings.Join(networks, ",")}
}

// banner wraps an error such that the peer reads it, though it is not let in.
func banner(err error) error {
	return &ssh.BannerError{Err: err, Message: refusalLine(err.Error())}
}

// attempted sees each attempt after it was judged. It tells a peer that has run
// out of them what to do: agents offer all their keys.
func (c *connection) attempted(peer ssh.ConnMetadata, method string, err error) {
	if err == nil {
		return
	}
	c.about.Login, c.about.Software = peer.User(), string(peer.ClientVersion())
	if c.keyRefused != nil {
		// A record that fails lets nobody in.
		_ = c.server.config.Trail.KeyRefused(c.about, *c.keyRefused)
		c.keyRefused = nil
	}
	if method == "none" {
		return
	}
	c.failing(door.AuthFail)
	if c.tries++; c.tries == maxTries {
		// The disconnect follows whether or not this arrives.
		_ = c.preauth.SendAuthBanner(refusalLine(fmt.Sprintf(
			"%d keys were offered in vain; offer the registered one alone: ssh -i KEY -o IdentitiesOnly=yes", maxTries)))
	}
}

// refusing notes why a key is not let in. The record is written once the attempt
// is over, when its login name is known.
func (c *connection) refusing(key ssh.PublicKey, proved bool, code, why string) {
	c.keyRefused = &audit.KeyRefusal{
		Fingerprint: ssh.FingerprintSHA256(plainKey(key)), Type: key.Type(), Proved: proved, Code: code, Why: why,
	}
}

// identify says who a peer is, by what is registered now.
func (s *Server) identify(peer Peer) (Identity, error) {
	return Identify(s.config.Clients.Load(), s.trust(), peer, s.config.Now())
}

func (s *Server) trust() Trust { return *s.trusted.Load() }
