package gateway_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway"
	"postern/registry"
)

var noon = time.Date(2026, 10, 18, 12, 0, 0, 0, time.UTC)

// certificate is signed for a key for the principal "laptop-1", valid around
// noon, without options. change may alter it before it is signed.
func certificate(t *testing.T, key ssh.PublicKey, ca ssh.Signer, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	cert := &ssh.Certificate{
		Key: key, Serial: 12, CertType: ssh.UserCert, KeyId: "laptop", ValidPrincipals: []string{"laptop-1"},
		ValidAfter: uint64(noon.Add(-time.Hour).Unix()), ValidBefore: uint64(noon.Add(time.Hour).Unix()),
	}
	if change != nil {
		change(cert)
	}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return cert
}

// revoked revokes what it names.
type revoked struct {
	serial uint64
	key    ssh.PublicKey
}

func (r revoked) RevokedCertificate(cert *ssh.Certificate) bool { return cert.Serial == r.serial }
func (r revoked) RevokedKey(key ssh.PublicKey) bool {
	return r.key != nil && string(key.Marshal()) == string(r.key.Marshal())
}

// rsaSigner signs with one algorithm.
func rsaSigner(t *testing.T, bits int, algorithm string) ssh.Signer {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	limited, err := ssh.NewSignerWithAlgorithms(signer(t, private).(ssh.AlgorithmSigner), []string{algorithm})
	if err != nil {
		t.Fatal(err)
	}
	return limited
}

// H9 and every gap of the library's checker.
func TestCertificates(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, ca, other := newKey(t).PublicKey(), newKey(t), newKey(t)
	good := certificate(t, key, ca, nil)
	from := netip.MustParseAddr("192.0.2.7")
	option := func(name, value string) func(*ssh.Certificate) {
		return func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{name: value} }
	}
	for name, c := range map[string]certificateCase{
		"good":                     {cert: good},
		"several principals":       {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"x", "laptop-1"} })},
		"without end":              {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidBefore = ssh.CertTimeInfinity })},
		"extensions":               {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.Extensions = map[string]string{"permit-pty": "", "x@y": ""} })},
		"of a second authority":    {cert: certificate(t, key, other, nil), trust: gateway.Trust{Authorities: []ssh.PublicKey{ca.PublicKey(), other.PublicKey()}}},
		"wrong authority":          {cert: certificate(t, key, other, nil), want: "authority"},
		"no authority at all":      {cert: good, trust: gateway.Trust{Authorities: []ssh.PublicKey{}}, want: "authority"},
		"its own authority":        {cert: certificate(t, ca.PublicKey(), other, nil), want: "authority"},
		"host certificate":         {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.CertType = ssh.HostCert }), want: "authority"},
		"expired":                  {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidBefore = uint64(noon.Unix()) }), want: "certificate-expired"},
		"not yet valid":            {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidAfter = uint64(noon.Unix()) + 1 }), want: "not-yet-valid"},
		"begin beyond all time":    {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidAfter = 1 << 63 }), want: "not-yet-valid"},
		"no principals":            {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidPrincipals = nil }), want: "no-principals"},
		"unknown principal":        {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"root"} }), want: "unknown-principal"},
		"name of a client":         {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"laptop"} }), want: "unknown-principal"},
		"empty principal":          {cert: certificate(t, key, ca, func(c *ssh.Certificate) { c.ValidPrincipals = []string{""} }), want: "unknown-principal"},
		"forced command":           {cert: certificate(t, key, ca, option("force-command", "rsync --server . x")), want: "critical-option"},
		"unknown critical option":  {cert: certificate(t, key, ca, option("verify-required", "")), want: "critical-option"},
		"its address":              {cert: certificate(t, key, ca, option("source-address", "10.0.0.0/8,192.0.2.7"))},
		"its network":              {cert: certificate(t, key, ca, option("source-address", "192.0.2.0/24"))},
		"its network, mapped":      {cert: certificate(t, key, ca, option("source-address", "::ffff:192.0.2.0/120"))},
		"address seen mapped":      {cert: certificate(t, key, ca, option("source-address", "192.0.2.0/24")), from: "::ffff:192.0.2.7"},
		"address with a zone":      {cert: certificate(t, key, ca, option("source-address", "fe80::/10")), from: "fe80::1%eth0"},
		"another address":          {cert: certificate(t, key, ca, option("source-address", "192.0.3.0/24")), want: "address"},
		"no address":               {cert: certificate(t, key, ca, option("source-address", "")), want: "address"},
		"a name for an address":    {cert: certificate(t, key, ca, option("source-address", "192.0.2.7,localhost")), want: "address"},
		"all of mapped IPv4":       {cert: certificate(t, key, ca, option("source-address", "::ffff:0:0/90")), want: "address"},
		"network with host bits":   {cert: certificate(t, key, ca, option("source-address", "192.0.2.7/24")), want: "address"},
		"revoked serial":           {cert: good, trust: gateway.Trust{Revocations: revoked{serial: 12}}, want: "revoked"},
		"revoked key":              {cert: good, trust: gateway.Trust{Revocations: revoked{key: key}}, want: "revoked"},
		"revoked authority":        {cert: good, trust: gateway.Trust{Revocations: revoked{key: ca.PublicKey()}}, want: "revoked"},
		"another serial revoked":   {cert: good, trust: gateway.Trust{Revocations: revoked{serial: 13, key: other.PublicKey()}}},
		"weak key":                 {cert: certificate(t, rsaSigner(t, 1024, ssh.KeyAlgoRSASHA512).PublicKey(), ca, nil), want: "weak-key"},
		"weak authority":           trusting(certificate(t, key, rsaSigner(t, 1024, ssh.KeyAlgoRSASHA512), nil), "weak-key"),
		"authority with SHA-1":     trusting(certificate(t, key, rsaSigner(t, 2048, ssh.KeyAlgoRSA), nil), "weak-key"),
		"authority with SHA-2":     trusting(certificate(t, key, rsaSigner(t, 2048, ssh.KeyAlgoRSASHA512), nil), ""),
		"changed after signing":    {cert: changed(good, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"laptop-1", "x"} }), want: "certificate"},
		"signature of another":     {cert: changed(good, func(c *ssh.Certificate) { c.Signature = certificate(t, key, other, nil).Signature }), want: "certificate"},
		"certificate as authority": {cert: changed(good, func(c *ssh.Certificate) { c.SignatureKey = certificate(t, ca.PublicKey(), other, nil) }), want: "authority"},
	} {
		t.Run(name, func(t *testing.T) {
			clients := set(t, registry.Client{Name: "laptop", Principals: []string{"laptop-1"}})
			if c.trust.Authorities == nil {
				c.trust.Authorities = []ssh.PublicKey{ca.PublicKey()}
			}
			peer := gateway.Peer{Key: c.cert, Login: "backup", Address: from}
			if c.from != "" {
				peer.Address = netip.MustParseAddr(c.from)
			}
			who, err := gateway.Identify(clients, c.trust, peer, noon)
			if got := denialCode(t, err); got != c.want {
				t.Fatalf("denied with %q (%v), want %q", got, err, c.want)
			}
			if err == nil && (who.Client.Name != "laptop" || who.Fingerprint != ssh.FingerprintSHA256(c.cert.Key) || !strings.HasPrefix(who.Certificate, `serial 12, "laptop", of SHA256:`)) {
				t.Errorf("is %+v", who)
			}
		})
	}
}

// certificateCase is a certificate, who is trusted (the one authority, unless
// said otherwise), where its holder comes from, and the code of the denial.
type certificateCase struct {
	cert  *ssh.Certificate
	trust gateway.Trust
	from  string
	want  string
}

// trusting is a case in which the certificate's signer is trusted.
func trusting(cert *ssh.Certificate, want string) certificateCase {
	return certificateCase{cert: cert, trust: gateway.Trust{Authorities: []ssh.PublicKey{cert.SignatureKey}}, want: want}
}

func changed(cert *ssh.Certificate, change func(*ssh.Certificate)) *ssh.Certificate {
	copied := *cert
	change(&copied)
	return &copied
}

func denialCode(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var denial *registry.Denial
	if !errors.As(err, &denial) {
		t.Fatalf("%v is a %T", err, err)
	}
	if denial.Message == "" || denial.Remedy == "" {
		t.Errorf("%q lacks a message or a remedy", denial.Code)
	}
	return denial.Code
}

// A key is not known by what certificates were signed for it, nor a certificate
// by the key in it.
func TestCertificateIsNotItsKey(t *testing.T) {
	key, ca := newKey(t), newKey(t)
	trust := gateway.Trust{Authorities: []ssh.PublicKey{ca.PublicKey()}}
	byKey := set(t, registry.Client{Name: "laptop", Keys: []registry.Key{{Public: key.PublicKey()}}})
	_, err := gateway.Identify(byKey, trust, gateway.Peer{Key: certificate(t, key.PublicKey(), ca, nil)}, noon)
	if got := denialCode(t, err); got != "unknown-principal" {
		t.Errorf("a certificate of a registered key: %q", got)
	}
	byPrincipal := set(t, registry.Client{Name: "laptop", Principals: []string{"laptop-1"}})
	_, err = gateway.Identify(byPrincipal, trust, gateway.Peer{Key: key.PublicKey()}, noon)
	if got := denialCode(t, err); got != "unknown-key" {
		t.Errorf("a key of a certificate: %q", got)
	}
}

func TestRevokedPlainKey(t *testing.T) {
	key := newKey(t).PublicKey()
	clients := set(t, registry.Client{Name: "laptop", Keys: []registry.Key{{Public: key}}})
	_, err := gateway.Identify(clients, gateway.Trust{Revocations: revoked{key: key}}, gateway.Peer{Key: key}, noon)
	if got := denialCode(t, err); got != "revoked" {
		t.Errorf("denied with %q", got)
	}
}

// The same over the wire.
func TestCertificateSignsIn(t *testing.T) {
	key, ca := newKey(t), newKey(t)
	w := serve(t, "/bin/true", with(registry.Client{Name: "certified", Principals: []string{"laptop-1"}}), func(w *world, _ *clients) {
		w.config.Authorities = []ssh.PublicKey{ca.PublicKey()}
		w.config.Now = func() time.Time { return noon }
	})
	sign := func(change func(*ssh.Certificate), by ssh.Signer) ssh.Signer {
		s, err := ssh.NewCertSigner(certificate(t, key.PublicKey(), by, change), key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, banners, err := w.dial("backup", sign(nil, ca)); err != nil {
		t.Error(err, banners)
	}
	local := func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "127.0.0.1"} }
	if _, banners, err := w.dial("backup", sign(local, ca)); err != nil {
		t.Error(err, banners)
	}
	for name, s := range map[string]ssh.Signer{
		"expired":          sign(func(c *ssh.Certificate) { c.ValidBefore = 1 }, ca),
		"another address":  sign(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "10.0.0.1"} }, ca),
		"forced command":   sign(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "id"} }, ca),
		"without the name": sign(func(c *ssh.Certificate) { c.ValidPrincipals = nil }, ca),
	} {
		if _, banners, err := w.dial("backup", s); err == nil || !strings.HasPrefix(banners, "postern: refused: ") {
			t.Errorf("%s: %v, %q", name, err, banners)
		}
	}
	if _, banners, err := w.dial("backup", sign(nil, newKey(t))); err == nil || banners != "" {
		t.Errorf("wrong authority: %v, %q", err, banners)
	}
}

// A security key in a certificate needs a touch, unless the authority that
// signed it says otherwise, as in sshd.
func TestTouchOfCertificates(t *testing.T) {
	ca := newKey(t)
	w := serve(t, "/bin/true", with(registry.Client{Name: "certified", Principals: []string{"laptop-1"}}), func(w *world, _ *clients) {
		w.config.Authorities = []ssh.PublicKey{ca.PublicKey()}
		w.config.Now = func() time.Time { return noon }
	})
	noTouch := map[string]string{"no-touch-required": ""}
	for name, c := range map[string]struct {
		change func(*ssh.Certificate)
		by     ssh.Signer
		ok     bool
	}{
		"no word of it":        {nil, ca, false},
		"extension":            {func(c *ssh.Certificate) { c.Extensions = noTouch }, ca, true},
		"critical option":      {func(c *ssh.Certificate) { c.CriticalOptions = noTouch }, ca, false},
		"of another authority": {func(c *ssh.Certificate) { c.Extensions = noTouch }, newKey(t), false},
	} {
		key := securityKey{newPrivate(t), false}
		s, err := ssh.NewCertSigner(certificate(t, key.PublicKey(), c.by, c.change), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.dial("backup", s); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
