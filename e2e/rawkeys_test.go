package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// forged offers one key and signs with another, or with nothing.
type forged struct {
	offered ssh.Signer
	signing ssh.Signer
}

func (f forged) PublicKey() ssh.PublicKey { return f.offered.PublicKey() }

func (f forged) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	if f.signing == nil {
		return &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, ed25519.SignatureSize)}, nil
	}
	return f.signing.Sign(random, data)
}

// securityKey is a FIDO key in software: it says whether somebody touched it.
type securityKey struct {
	private ed25519.PrivateKey
	public  ssh.PublicKey
	touched bool
}

const securityKeyType = "sk-ssh-ed25519@openssh.com"

func newSecurityKey(t *testing.T) *securityKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePublicKey(joined(sshString(securityKeyType), sshString(string(public)), sshString("ssh:")))
	if err != nil {
		t.Fatal(err)
	}
	return &securityKey{private: private, public: key}
}

// line is the key in authorized_keys syntax.
func (k *securityKey) line(options string) string {
	return options + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.public)))
}

func (k *securityKey) PublicKey() ssh.PublicKey { return k.public }

// Sign follows PROTOCOL.u2f of OpenSSH.
func (k *securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	flags := byte(0)
	if k.touched {
		flags = 1
	}
	application, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	counter := []byte{0, 0, 0, 9}
	signed := bytes.Join([][]byte{application[:], {flags}, counter, message[:]}, nil)
	return &ssh.Signature{
		Format: securityKeyType,
		Blob:   ed25519.Sign(k.private, signed),
		Rest:   append([]byte{flags}, counter...),
	}, nil
}
