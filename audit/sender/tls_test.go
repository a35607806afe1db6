package sender

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a CA of the test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// file holds the certificate.
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key, a.file, _ = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue signs a certificate, and returns it with its key and the files of both.
func (a *authority) issue(name string, c *x509.Certificate) (cert *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key, a.write(name+".pem", "CERTIFICATE", der), a.write(name+"-key.pem", "PRIVATE KEY", secret)
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// server is the configuration of a server with this name, an address or a host's.
func (a *authority) server(name string) *tls.Config {
	a.t.Helper()
	c := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	_, _, cert, key := a.issue("server", c)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// asking is a server that asks for a certificate of the authority.
func (a *authority) asking(config *tls.Config) *tls.Config {
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	config.ClientCAs.AddCert(a.cert)
	return config
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	_, _, cert, key := ca.issue("gateway", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	for name, config := range map[string]*tls.Config{"a server": ca.server("127.0.0.1"), "a server that asks for a certificate": ca.asking(ca.server("127.0.0.1"))} {
		t.Run(name, func(t *testing.T) {
			s := newSending(t)
			r := receive(t, "", config)
			s.start(server(t, Syslog{Address: r.address, TLS: true, CA: ca.file, Certificate: cert, Key: key}))
			s.record(100)
			s.forged()
			s.restart()
			s.start(server(t, Syslog{Address: r.address, TLS: true, CA: ca.file, Certificate: cert, Key: key}))
			s.record(1)
			s.stop()
			s.arrives(r, 1)
			if sent, have := len(r.received()), len(s.lines()); sent != have {
				t.Errorf("%d messages of %d records", sent, have)
			}
			if failed := s.events("sending failed"); len(failed) > 0 {
				t.Errorf("%v", failed)
			}
		})
	}
}

// Nothing goes to a server that is not who it should be, and each reason is on
// record.
func TestTLSRefuses(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	_, _, cert, key := other.issue("gateway", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	old := ca.server("127.0.0.1")
	old.MaxVersion = tls.VersionTLS11
	for name, test := range map[string]struct {
		server *tls.Config
		to     Syslog
		why    string
	}{
		"another CA's":            {other.server("127.0.0.1"), Syslog{CA: ca.file}, "signed by unknown authority"},
		"another name's":          {ca.server("logs.example.net"), Syslog{CA: ca.file}, "127.0.0.1"},
		"none that is known here": {ca.server("127.0.0.1"), Syslog{}, "signed by unknown authority"},
		"no client certificate":   {ca.asking(ca.server("127.0.0.1")), Syslog{CA: ca.file}, "certificate required"},
		"another CA's client":     {ca.asking(ca.server("127.0.0.1")), Syslog{CA: ca.file, Certificate: cert, Key: key}, "certificate"},
		"old":                     {old, Syslog{CA: ca.file}, "protocol version"},
		"no TLS":                  {nil, Syslog{CA: ca.file}, "does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSending(t)
			r := receive(t, "", test.server)
			if test.server == nil {
				r.plain()
			}
			test.to.Address, test.to.TLS = r.address, true
			s.start(server(t, test.to))
			s.record(10)
			until(t, "the failure is recorded", func() bool { return len(s.events("sending failed")) == 1 })
			if why, _ := s.events("sending failed")[0]["why"].(string); !strings.Contains(why, test.why) {
				t.Errorf("%q, want %q", why, test.why)
			}
			s.stop()
			if n := len(r.received()); n > 0 {
				t.Errorf("%d messages came through", n)
			}
		})
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	ca := newAuthority(t)
	_, _, cert, _ := ca.issue("a", &x509.Certificate{})
	_, _, _, key := ca.issue("b", &x509.Certificate{})
	for want, s := range map[string]Syslog{
		"no such file":            {CA: "/nowhere"},
		"no certificate":          {CA: key},
		"does not match":          {Certificate: cert, Key: key},
		"a.pem with /nowhere":     {Certificate: cert, Key: "/nowhere"},
		"missing port in address": {},
	} {
		s.TLS = true
		if want != "missing port in address" {
			s.Address = "127.0.0.1:6514"
		}
		if _, err := s.Destination(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// plain makes the server one that knows no TLS and hangs up on it.
func (r *receiver) plain() {
	r.die()
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.listener = l
	r.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("closed to this\n"))
			conn.Close()
		}
	})
}
