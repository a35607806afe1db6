package gateway

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/registry"
)

// maxLogin is the longest login name; Linux has 32 bytes, directories more.
const maxLogin = 256

// Peer is what a peer has shown: the key that signed, the login name that it
// signed for, and where it comes from.
type Peer struct {
	// Key is a public key or an [*ssh.Certificate].
	Key     ssh.PublicKey
	Login   string
	Address netip.Addr
}

// Identity is who a peer is.
type Identity struct {
	Peer
	Client registry.Client
	// Fingerprint is of the key that signed; of a certificate, of the key in
	// it.
	Fingerprint string
	// Certificate is its serial, key identifier and authority, or empty.
	Certificate string
}

// Identify says which client a peer is, and whether it may come in now. An error
// is a [*registry.Denial]. That the peer holds the key is for the caller to know.
func Identify(set *registry.Set, trust Trust, peer Peer, now time.Time) (Identity, error) {
	who := Identity{Peer: peer, Fingerprint: ssh.FingerprintSHA256(plainKey(peer.Key))}
	if len(peer.Login) > maxLogin {
		return who, deny("login-too-long", fmt.Sprintf("the login name has %d bytes", len(peer.Login)), "use a shorter one")
	}
	client, err := who.find(set, trust, now)
	if err != nil {
		return who, err
	}
	if err := client.Admit(peer.Address, now); err != nil {
		return who, err
	}
	who.Client = client
	return who, nil
}

// find looks the client up by its key or by its certificate's principals.
func (i *Identity) find(set *registry.Set, trust Trust, now time.Time) (registry.Client, error) {
	if cert, ok := i.Key.(*ssh.Certificate); ok {
		i.Certificate = describeCertificate(cert)
		if err := trust.check(cert, i.Address, now); err != nil {
			return registry.Client{}, err
		}
		return set.ByPrincipals(cert.ValidPrincipals, i.Login)
	}
	switch {
	case !strong(i.Key):
		return registry.Client{}, deny("weak-key", fmt.Sprintf("a key of type %q and this length proves nothing", i.Key.Type()),
			fmt.Sprintf("use ed25519, ecdsa, or rsa from %d bits", minRSA))
	case trust.revokedKey(i.Key):
		return registry.Client{}, deny("revoked", "the key is revoked", "use another key")
	}
	return set.ByKey(i.Key, i.Login)
}

// plainKey returns the key itself, without a certificate around it.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func deny(code, message, remedy string) error {
	return &registry.Denial{Code: code, Message: message, Remedy: remedy}
}
