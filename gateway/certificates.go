package gateway

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Revocations knows the keys and certificates that are refused whatever else is
// said.
type Revocations interface {
	// RevokedCertificate reports whether the certificate was revoked, by its
	// serial or otherwise.
	RevokedCertificate(cert *ssh.Certificate) bool
	// RevokedKey reports whether the key was revoked: of a client, in a
	// certificate, or of an authority.
	RevokedKey(key ssh.PublicKey) bool
}

// Trust is what certificates are measured against. The zero value trusts no
// certificate and revokes nothing.
type Trust struct {
	// Authorities are the keys whose user certificates are believed.
	Authorities []ssh.PublicKey
	// Revocations may be nil.
	Revocations Revocations
}

func (t Trust) revokedKey(key ssh.PublicKey) bool {
	return t.Revocations != nil && t.Revocations.RevokedKey(key)
}

// vouchesFor reports whether the certificate claims to be what a signature by a
// trusted authority could make valid. It believes the claim.
func (t Trust) vouchesFor(cert *ssh.Certificate) bool {
	signer := cert.SignatureKey.Marshal()
	return cert.CertType == ssh.UserCert && slices.ContainsFunc(t.Authorities, func(a ssh.PublicKey) bool {
		return bytes.Equal(a.Marshal(), signer)
	})
}

// check returns nil when the certificate holds for its key, from the address, at
// the time. It does not look at who its principals are, beyond that there are
// some: the library, unlike sshd, takes a certificate without principals for
// everyone's. It also leaves to its callers the revocations, the address, and
// the strength of the authority's signature.
func (t Trust) check(cert *ssh.Certificate, from netip.Addr, now time.Time) error {
	if !t.vouchesFor(cert) {
		return deny("authority", "the certificate is not a user certificate of an authority that is trusted here",
			"add the authority's key to certificates.authorities, or use a registered key")
	}
	if t.revoked(cert) {
		return deny("revoked", fmt.Sprintf("the certificate %s is revoked", describeCertificate(cert)), "have a new one signed")
	}
	if !strong(cert.Key) || !strong(cert.SignatureKey) || !slices.Contains(signatures(), cert.Signature.Format) {
		return deny("weak-key", fmt.Sprintf("the certificate has a key of type %q, signed with %q by one of type %q, which prove nothing at this length",
			cert.Key.Type(), cert.Signature.Format, cert.SignatureKey.Type()), "use ed25519, or rsa from 2048 bits with SHA-2")
	}
	if err := valid(cert, now); err != nil {
		return err
	}
	if err := optionsHold(cert, from); err != nil {
		return err
	}
	if len(cert.ValidPrincipals) == 0 {
		return deny("no-principals", "the certificate names no principal", "have it signed with ssh-keygen -n CLIENT")
	}
	return t.verify(cert, now)
}

func (t Trust) revoked(cert *ssh.Certificate) bool {
	return t.revokedKey(cert.Key) || t.revokedKey(cert.SignatureKey) ||
		t.Revocations != nil && t.Revocations.RevokedCertificate(cert)
}

// valid compares unsigned, as certificates count.
func valid(cert *ssh.Certificate, now time.Time) error {
	at := now.Unix()
	switch {
	case at < 0 || uint64(at) < cert.ValidAfter:
		return deny("not-yet-valid", "the certificate is not valid before "+moment(cert.ValidAfter), "wait, or set the clocks right")
	case cert.ValidBefore != ssh.CertTimeInfinity && uint64(at) >= cert.ValidBefore:
		return deny("certificate-expired", "the certificate expired at "+moment(cert.ValidBefore), "have a new one signed")
	}
	return nil
}

func moment(seconds uint64) string {
	if seconds > math.MaxInt32 { // beyond 2038; times far beyond it do not print
		return fmt.Sprintf("second %d of Unix time", seconds)
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// The critical options of certificates that are understood.
const (
	forceCommand  = "force-command"
	sourceAddress = "source-address"
)

// optionsHold holds the peer against the critical options. One that is not
// understood is a refusal; that is what critical means.
func optionsHold(cert *ssh.Certificate, from netip.Addr) error {
	for _, name := range slices.Sorted(maps.Keys(cert.CriticalOptions)) {
		value := cert.CriticalOptions[name]
		switch name {
		case sourceAddress:
			if !within(value, from) {
				return deny("address", fmt.Sprintf("the certificate is not for %s", from), "come from an address that it names")
			}
		case forceCommand:
			return deny("critical-option", "the certificate forces a command, and commands are decided by rules here",
				"have it signed without force-command")
		default:
			return deny("critical-option", fmt.Sprintf("the certificate has the critical option %.64q, which is not understood here", name),
				"have it signed without it")
		}
	}
	return nil
}

// within reports whether the address is in a list as source-address has it:
// addresses and networks, separated by commas. What cannot be read matches
// nothing, and spoils the list.
func within(list string, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	found := false
	for entry := range strings.SplitSeq(list, ",") {
		network, ok := parseNetwork(entry)
		if !ok {
			return false
		}
		found = found || network.Contains(addr)
	}
	return found
}

// parseNetwork reads an address or a network, in IPv4 form where it is IPv4
// mapped into IPv6. As in sshd, a network with bits behind its mask is none.
func parseNetwork(text string) (netip.Prefix, bool) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	const mapped = 96 // bits before the IPv4 address
	if network.Addr().Is4In6() {
		if network.Bits() < mapped {
			return netip.Prefix{}, false
		}
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mapped)
	}
	return network, network == network.Masked()
}

// verify checks the authority's signature.
func (t Trust) verify(cert *ssh.Certificate, now time.Time) error {
	checker := ssh.CertChecker{
		SupportedCriticalOptions: []string{sourceAddress},
		Clock:                    func() time.Time { return now },
	}
	if err := checker.CheckCert(cert.ValidPrincipals[0], cert); err != nil {
		return deny("certificate", fmt.Sprintf("the certificate does not hold: %v", err), "have a new one signed")
	}
	return nil
}

func describeCertificate(cert *ssh.Certificate) string {
	return fmt.Sprintf("serial %d, %q, of %s", cert.Serial, cert.KeyId, ssh.FingerprintSHA256(cert.SignatureKey))
}
