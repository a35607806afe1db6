package gateway_test

import (
	"crypto/dsa" //nolint:staticcheck // the point is that it is refused
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/audit"
	"postern/gateway"
	"postern/registry"
	"postern/sandbox"
)

// H23, H11: what is offered is this and nothing else, with strict key exchange.
func TestAlgorithmsOffered(t *testing.T) {
	w := serve(t, "/bin/true", func(w *world, _ *clients) {
		private, err := rsa.GenerateKey(rand.Reader, 3072)
		if err != nil {
			t.Fatal(err)
		}
		ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.config.HostKeys = append(w.config.HostKeys, signer(t, private), signer(t, ec))
	})
	c, version, payload := connectRaw(t, w.addr)
	c.Close()
	var offered kexInit
	if err := ssh.Unmarshal(payload, &offered); err != nil {
		t.Fatal(err)
	}
	ciphers := "aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com aes128-ctr aes192-ctr aes256-ctr"
	macs := "hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com hmac-sha2-256 hmac-sha2-512"
	for what, c := range map[string]struct {
		got  []string
		want string
	}{
		"key exchanges": {offered.Kex, "mlkem768x25519-sha256 curve25519-sha256 curve25519-sha256@libssh.org ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521 " +
			"diffie-hellman-group16-sha512 diffie-hellman-group14-sha256 kex-strict-s-v00@openssh.com"},
		"host keys":    {offered.HostKeys, "ssh-ed25519 rsa-sha2-256 rsa-sha2-512 ecdsa-sha2-nistp256"},
		"ciphers in":   {offered.CiphersIn, ciphers},
		"ciphers out":  {offered.CiphersOut, ciphers},
		"MACs in":      {offered.MACsIn, macs},
		"MACs out":     {offered.MACsOut, macs},
		"compressions": {slices.Concat(offered.Compressions, offered.CompressionsOut), "none none"},
	} {
		if got := strings.Join(c.got, " "); got != c.want {
			t.Errorf("%s: %s\nwant %s", what, got, c.want)
		}
	}
	if version != "SSH-2.0-postern" {
		t.Errorf("says it is %q", version)
	}
}

func TestVersionIsSentWhereItIsOne(t *testing.T) {
	for version, want := range map[string]string{
		"": "SSH-2.0-postern", "1.2.3~rc1": "SSH-2.0-postern_1.2.3~rc1", "1.2\r\nSSH": "SSH-2.0-postern", "(devel) x": "SSH-2.0-postern",
	} {
		w := serve(t, "/bin/true", func(w *world, _ *clients) { w.config.Version = version })
		c, got, _ := connectRaw(t, w.addr)
		c.Close()
		if got != want {
			t.Errorf("with version %q says it is %q, want %q", version, got, want)
		}
	}
}

// Each algorithm works with the real client.
func TestAlgorithmsWork(t *testing.T) {
	private := newPrivate(t)
	w := serve(t, script(t, `cat`), with(registry.Client{Name: "mine", Keys: []registry.Key{{Public: signer(t, private).PublicKey()}}}))
	key := keyFile(t, private)
	for option, values := range map[string]string{
		"KexAlgorithms": "curve25519-sha256 ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521 diffie-hellman-group14-sha256 diffie-hellman-group16-sha512",
		"Ciphers":       "chacha20-poly1305@openssh.com aes128-gcm@openssh.com aes256-gcm@openssh.com aes128-ctr aes192-ctr aes256-ctr",
		"MACs":          "hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com hmac-sha2-256 hmac-sha2-512",
	} {
		for value := range strings.FieldsSeq(values) {
			args := []string{"-o", option + "=" + value, "-i", key, "127.0.0.1"}
			if option == "MACs" {
				args = append([]string{"-c", "aes128-ctr"}, args...)
			}
			if out, complaints, status := w.openssh(args...); status != 1 || !strings.HasPrefix(out, `You are client "mine"`) {
				t.Errorf("%s: status %d, %q", value, status, complaints)
			}
		}
	}
	for _, option := range []string{"Ciphers=aes128-cbc", "MACs=hmac-sha1", "KexAlgorithms=diffie-hellman-group14-sha1"} {
		args := []string{"-c", "aes128-ctr", "-o", option, "-i", key, "127.0.0.1"}
		if strings.HasPrefix(option, "Ciphers") {
			args = args[2:]
		}
		if _, complaints, status := w.openssh(args...); status != 255 || !strings.Contains(complaints, "no matching") {
			t.Errorf("%s: status %d, %q", option, status, complaints)
		}
	}
}

// H29: without a host key nothing is served, and none is made up.
func TestHostKeys(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	var old dsa.PrivateKey
	if err := dsa.GenerateParameters(&old.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	if err := dsa.GenerateKey(&old, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys []ssh.Signer
		ok   bool
	}{
		"one":             {[]ssh.Signer{newKey(t)}, true},
		"none":            {nil, false},
		"two of one type": {[]ssh.Signer{newKey(t), newKey(t)}, false},
		"RSA of 1024":     {[]ssh.Signer{newKey(t), signer(t, weak)}, false},
		"DSA":             {[]ssh.Signer{signer(t, &old)}, false},
	} {
		_, err := gateway.New(gateway.Config{HostKeys: c.keys, Clients: registry.NewStore(set(t)), Trail: audit.New(nil, time.Now), Confinement: sandbox.None})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
