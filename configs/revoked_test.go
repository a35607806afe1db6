package configs

import (
	"crypto/rand"
	"math"
	"testing"

	"golang.org/x/crypto/ssh"
)

// readList reads a revocation list that is in order.
func readList(t *testing.T, text string) *Revocations {
	t.Helper()
	r := new(report)
	s, _ := newSource("revoked_keys", []byte(text), r)
	list := readRevoked(s)
	if err := r.err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRevokedSerials(t *testing.T) {
	list := readList(t, `# serials
serial: 12 # stolen
serial:30-40
  serial: 20 - 25
serial: 24-31
serial: 41
serial: 18446744073709551614-18446744073709551615
serial: 18446744073709551615
`)
	for serial, want := range map[uint64]bool{
		0: false, 1: false, 11: false, 12: true, 13: false, 19: false, 20: true, 26: true, 31: true, 40: true, 41: true, 42: false,
		math.MaxUint64 - 2: false, math.MaxUint64 - 1: true, math.MaxUint64: true,
	} {
		cert := &ssh.Certificate{Serial: serial, Key: mustKey(t, goodKey).Public, SignatureKey: mustKey(t, caKey).Public}
		if got := list.RevokedCertificate(cert); got != want {
			t.Errorf("serial %d is revoked: %v", serial, got)
		}
	}
	if len(list.serials) != 3 {
		t.Errorf("ranges %v are not joined", list.serials)
	}
}

func TestRevokedKeys(t *testing.T) {
	key, ca, other := mustKey(t, goodKey), mustKey(t, caKey), mustKey(t, numberedKey(t, 7))
	cert := &ssh.Certificate{Serial: 5, Key: key.Public, SignatureKey: ca.Public}
	for _, test := range []struct {
		name, list      string
		key, cert, ofCA bool
	}{
		{"nothing", "", false, false, false},
		{"the key, whole", goodKey + " comment # hash\n", true, true, false},
		{"the key's fingerprint", key.Fingerprint() + "\n", true, true, false},
		{"the key's fingerprint, padded and explained", key.Fingerprint() + "= # stolen", true, true, false},
		{"the CA, whole", caKey, false, true, true},
		{"the CA's fingerprint", ca.Fingerprint(), false, true, true},
		{"another key", other.Fingerprint(), false, false, false},
		{"the serial", "serial: 5", false, true, false},
		{"a key that no client could have", dsaLine + "\n" + rsaLine(t, 1024), false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := readList(t, "\ufeff# list\r\n\r\n"+test.list)
			if got := list.RevokedKey(key.Public); got != test.key {
				t.Errorf("key is revoked: %v", got)
			}
			if got := list.RevokedCertificate(cert); got != test.cert {
				t.Errorf("certificate is revoked: %v", got)
			}
			if got := list.RevokedKey(ca.Public); got != test.ofCA {
				t.Errorf("CA is revoked: %v", got)
			}
			if list.RevokedKey(other.Public) != (test.name == "another key") {
				t.Error("another key")
			}
		})
	}
}

func TestRevokedCertificateAsKey(t *testing.T) {
	signer, err := ssh.NewSignerFromKey(newPrivateKey(t))
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: mustKey(t, goodKey).Public, CertType: ssh.UserCert, ValidPrincipals: []string{"x"}}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	list := readList(t, string(ssh.MarshalAuthorizedKey(cert)))
	if !list.RevokedKey(mustKey(t, goodKey).Public) || !list.RevokedKey(cert) || !list.RevokedCertificate(cert) {
		t.Error("a certificate in the list does not revoke its key")
	}
}

func TestNoRevocations(t *testing.T) {
	var none *Revocations
	key := mustKey(t, goodKey).Public
	if none.RevokedKey(key) || none.RevokedCertificate(&ssh.Certificate{Key: key, SignatureKey: key}) {
		t.Error("nil revokes")
	}
}
