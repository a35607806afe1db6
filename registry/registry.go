// Package registry knows which key is which client.
//
// A [Set] is made once from every client and never changes; a [Store] holds the
// set of the moment and replaces it whole. The registry reads no file and no
// clock: who loads the clients owns their validity, except for what makes an
// answer ambiguous, which [New] refuses.
package registry

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/policy"
)

// Key is one public key of a client.
type Key struct {
	// Public is the key itself, never a certificate.
	Public ssh.PublicKey
	// Comment is what the operator wrote behind the key. It identifies nobody.
	Comment string
	// NoTouchRequired accepts signatures of a security key that nobody
	// touched.
	NoTouchRequired bool
}

// Fingerprint returns the key's fingerprint as OpenSSH prints it: SHA256:...
func (k Key) Fingerprint() string { return ssh.FingerprintSHA256(k.Public) }

// Client is one registered party. The zero value may come from anywhere at any
// time, has no key, and may do nothing.
type Client struct {
	// Name is the operator's name for the client.
	Name string
	// Login is the only login name under which the client is let in; empty
	// means any.
	Login string
	// Disabled refuses the client whatever else is said.
	Disabled bool
	// Keys are the public keys of the client.
	Keys []Key
	// Principals are the names in certificates that stand for the client.
	Principals []string
	// From are the networks that the client may come from; empty means
	// everywhere. IPv4 networks are in IPv4 form.
	From []netip.Prefix
	// Expires is the instant from which the client is refused; zero means
	// never.
	Expires time.Time
	// Rules are the client's permissions, in the order of the file.
	Rules []policy.Rule
	// Expect is how long the client may be without a backup; zero is for ever.
	Expect time.Duration
	// Limits bounds each child of the client, and Bounds all that it does together.
	Limits policy.Limits
	Bounds Bounds
	// Where is the client's file, for messages.
	Where string
}

// clone returns a client that shares nothing changeable with c.
func (c Client) clone() Client {
	c.Keys = slices.Clone(c.Keys)
	c.Principals = slices.Clone(c.Principals)
	c.From = slices.Clone(c.From)
	c.Rules = slices.Clone(c.Rules)
	return c
}
