package gateway_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"postern/gateway"
	"postern/registry"
)

// openssh runs the real client against the gateway and returns what it printed
// and its status.
func (w *world) openssh(args ...string) (stdout, stderr string, status int) {
	w.t.Helper()
	host, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	known := filepath.Join(w.t.TempDir(), "known_hosts")
	line := fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(w.host))
	if err := os.WriteFile(known, []byte(line), 0o600); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append([]string{"-F", "none", "-p", port, "-l", "backup",
		"-o", "UserKnownHostsFile=" + known, "-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"}, args...)...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}

// keyFile writes a private key for the real client.
func keyFile(t *testing.T, private any) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// publicFile writes a public key, by which the real client names a key that it
// does not have.
func publicFile(t *testing.T, key ssh.PublicKey) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "named.pub")
	if err := os.WriteFile(name, ssh.MarshalAuthorizedKey(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newPrivate(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// with adds clients beside the laptop.
func with(more ...registry.Client) func(*world, *clients) {
	return func(_ *world, all *clients) { *all = append(*all, more...) }
}

// edit changes the client "laptop".
func edit(f func(*registry.Client)) func(*world, *clients) {
	return func(_ *world, all *clients) { f(&(*all)[0]) }
}

// H1, A none method: no key, no way in.
func TestNobodyIsLetInWithoutAKey(t *testing.T) {
	w := serve(t, "/bin/true")
	if _, _, err := w.dial("backup", nil); err == nil {
		t.Fatal("let in")
	}
	if why := fmt.Sprint(w.wait("connection refused")["why"]); !strings.Contains(why, "no auth passed yet") {
		t.Errorf("recorded %q", why)
	}
	w.none("connection accepted")
}

// H5: a password, and a dialogue, are not asked for.
func TestOnlyKeysAreAskedFor(t *testing.T) {
	w := serve(t, "/bin/true")
	for _, method := range []string{"password", "keyboard-interactive", "hostbased", "gssapi-with-mic"} {
		_, complaints, status := w.openssh("-o", "PreferredAuthentications="+method, "-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1", "127.0.0.1")
		if status != 255 || !strings.Contains(complaints, "Permission denied (publickey).") {
			t.Errorf("%s: status %d, %q", method, status, complaints)
		}
	}
}

// H2: a client names the key of another, which it does not have, and signs with
// its own. It is itself, whatever it named.
func TestKeyThatIsNamedButNotUsed(t *testing.T) {
	mine := newPrivate(t)
	w := serve(t, "/bin/true", with(registry.Client{Name: "mine", Keys: []registry.Key{{Public: signer(t, mine).PublicKey()}}}))
	named := publicFile(t, w.key.PublicKey())
	out, complaints, status := w.openssh("-v", "-i", named, "-i", keyFile(t, mine), "127.0.0.1")
	if !strings.Contains(complaints, "Server accepts key: "+named) {
		t.Fatalf("the client did not name the other's key: %s", complaints)
	}
	if status != 1 || !strings.HasPrefix(out, `You are client "mine"`) || strings.Contains(out, "laptop") {
		t.Errorf("status %d, %q", status, out)
	}
	w.stop()
	if accepted := w.waitFor("connection accepted", 1); len(accepted) != 1 || accepted[0]["client"] != "mine" {
		t.Errorf("recorded %v", accepted)
	}
	w.none("key refused")
}

// H3: one key in two clients; the login name says which.
func TestOneKeyForTwoClients(t *testing.T) {
	w := serve(t, "/bin/true", edit(func(c *registry.Client) { c.Login = "backup" }), func(w *world, all *clients) {
		*all = append(*all, registry.Client{Name: "second", Login: "second", Keys: (*all)[0].Keys})
	})
	for login, name := range map[string]string{"backup": "laptop", "second": "second"} {
		client, _, err := w.dial(login, w.key)
		if err != nil {
			t.Fatal(err)
		}
		if out := shell(t, client); !strings.HasPrefix(out, fmt.Sprintf("You are client %q", name)) {
			t.Errorf("%s is told %q", login, out)
		}
	}
	_, banners, err := w.dial("third", w.key)
	if err == nil || !strings.HasPrefix(banners, "postern: refused: ") || !strings.Contains(banners, `login name "third"`) {
		t.Errorf("%v, %q", err, banners)
	}
}

// shell asks for a shell and returns what it is told instead.
func shell(t *testing.T, client *ssh.Client) string {
	t.Helper()
	s := newSession(t, client)
	var out bytes.Buffer
	s.Stdout = &out
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	exitStatus(t, func() error {
		err := s.Wait()
		var exit *ssh.ExitError
		if errors.As(err, &exit) && exit.ExitStatus() == 1 {
			return nil
		}
		return err
	}())
	return out.String()
}

// Who has proved a key and is refused reads why; who has not learns nothing.
func TestRefusedClientReadsWhy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*registry.Client)
		code   string
		says   string
	}{
		"H7 another address": {func(c *registry.Client) { c.From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, "address", "127.0.0.1"},
		"expired":            {func(c *registry.Client) { c.Expires = time.Unix(1e9, 0) }, "expired", "2001-09-09"},
		"disabled":           {func(c *registry.Client) { c.Disabled = true }, "disabled", "disabled"},
		"another login name": {func(c *registry.Client) { c.Login = "x" }, "wrong-login", `"backup"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, "/bin/true", edit(c.change))
			_, banners, err := w.dial("backup", w.key)
			if err == nil || !strings.HasPrefix(banners, "postern: refused: ") || !strings.Contains(banners, c.says) || !strings.HasSuffix(banners, "\n") {
				t.Errorf("%v, %q", err, banners)
			}
			refused := w.wait("key refused")
			if refused["code"] != c.code || refused["proved"] != true || refused["login"] != "backup" || refused["fingerprint"] != ssh.FingerprintSHA256(w.key.PublicKey()) {
				t.Errorf("recorded %v", refused)
			}
			// Naming the key alone, without signing, is not answered.
			w = serve(t, "/bin/true", edit(c.change))
			named := publicFile(t, w.key.PublicKey())
			_, complaints, status := w.openssh("-v", "-i", named, "127.0.0.1")
			if status != 255 || !strings.Contains(complaints, "Server accepts key: "+named) || strings.Contains(complaints, "postern: ") {
				t.Errorf("status %d; whoever names the key reads %q", status, complaints)
			}
			w.stop()
			w.none("key refused")
			w.none("connection accepted")
		})
	}
}

func TestAllowedAddressIsLetIn(t *testing.T) {
	w := serve(t, "/bin/true", edit(func(c *registry.Client) {
		c.From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8")}
	}))
	w.client()
}

// A socket for both families shows IPv4 addresses mapped into IPv6.
func TestIPv4OverADualSocket(t *testing.T) {
	w := serve(t, "/bin/true", edit(func(c *registry.Client) { c.From = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }))
	w.stop()
	server, err := gateway.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, l) }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	w.addr = net.JoinHostPort("127.0.0.1", port)
	client, _, err := w.dial("backup", w.key)
	if err != nil {
		t.Error(err)
	} else {
		client.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if accepted := w.wait("connection accepted"); !strings.HasPrefix(fmt.Sprint(accepted["address"]), "127.0.0.1:") {
		t.Errorf("recorded %v", accepted)
	}
}

func TestUnknownKeyIsRecorded(t *testing.T) {
	w := serve(t, "/bin/true")
	stranger := newKey(t)
	if _, banners, err := w.dial("backup", stranger); err == nil || banners != "" {
		t.Errorf("%v, %q", err, banners)
	}
	refused := w.wait("key refused")
	if refused["code"] != "unknown-key" || refused["proved"] != false || refused["fingerprint"] != ssh.FingerprintSHA256(stranger.PublicKey()) || refused["login"] != "backup" {
		t.Errorf("recorded %v", refused)
	}
}

// H6, H31: an agent with many keys.
func TestTooManyKeys(t *testing.T) {
	w := serve(t, "/bin/true")
	args := []string{}
	for range 7 {
		args = append(args, "-i", keyFile(t, newPrivate(t)))
	}
	_, complaints, status := w.openssh(append(args, "127.0.0.1")...)
	if status != 255 || !strings.Contains(complaints, "postern: refused: 6 keys were offered in vain") || !strings.Contains(complaints, "IdentitiesOnly") {
		t.Errorf("status %d, %q", status, complaints)
	}
	w.stop()
	if refused, _ := w.trail.find("key refused"); len(refused) != 6 {
		t.Errorf("%d keys were judged", len(refused))
	}
}

func TestLoginNameWithoutEnd(t *testing.T) {
	w := serve(t, "/bin/true")
	if _, banners, err := w.dial(strings.Repeat("x", 100_000), w.key); err == nil || len(banners) > 200 {
		t.Errorf("%v, banner of %d bytes", err, len(banners))
	}
	if refused := w.wait("key refused"); refused["code"] != "login-too-long" || len(fmt.Sprint(refused["login"])) > 4096 {
		t.Errorf("recorded %v", refused)
	}
}

func TestKeyTypes(t *testing.T) {
	curve := func(c elliptic.Curve) ssh.Signer {
		private, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return signer(t, private)
	}
	rsaKey := func(bits int, algorithms ...string) ssh.Signer {
		private, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		limited, err := ssh.NewSignerWithAlgorithms(signer(t, private).(ssh.AlgorithmSigner), algorithms)
		if err != nil {
			t.Fatal(err)
		}
		return limited
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	for name, c := range map[string]struct {
		key ssh.Signer
		ok  bool
	}{
		"ed25519":                    {newKey(t), true},
		"ecdsa 256":                  {curve(elliptic.P256()), true},
		"ecdsa 384":                  {curve(elliptic.P384()), true},
		"ecdsa 521":                  {curve(elliptic.P521()), true},
		"rsa 2048 with SHA-256":      {rsaKey(2048, ssh.KeyAlgoRSASHA256), true},
		"rsa 2048 with SHA-512":      {rsaKey(2048, ssh.KeyAlgoRSASHA512), true},
		"H11 rsa with SHA-1":         {rsaKey(2048, ssh.KeyAlgoRSA), false},
		"H11 rsa 1024":               {rsaKey(1024, ssh.KeyAlgoRSASHA512), false},
		"sk touched":                 {securityKey{newPrivate(t), true}, true},
		"H10 sk that nobody touched": {securityKey{newPrivate(t), false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, "/bin/true", with(registry.Client{Name: "other", Keys: []registry.Key{{Public: c.key.PublicKey()}}}))
			if _, banners, err := w.dial("backup", c.key); (err == nil) != c.ok {
				t.Errorf("%v, %q", err, banners)
			}
		})
	}
}

// A key registered with no-touch-required needs no touch, and no other key of
// the same connection profits.
func TestNoTouchRequired(t *testing.T) {
	relaxed, strict := securityKey{newPrivate(t), false}, securityKey{newPrivate(t), false}
	w := serve(t, "/bin/true", with(registry.Client{Name: "sk", Keys: []registry.Key{
		{Public: relaxed.PublicKey(), NoTouchRequired: true}, {Public: strict.PublicKey()},
	}}))
	if _, _, err := w.dial("backup", relaxed); err != nil {
		t.Error(err)
	}
	if _, _, err := w.dial("backup", strict); err == nil {
		t.Error("a key that needs a touch was let in without")
	}
	// Naming the relaxed key first changes nothing for the strict one.
	c := handshake(t, w.addr)
	c.request("ssh-userauth")
	c.offer("backup", relaxed.PublicKey())
	c.authenticate("backup", strict)
	for _, refused := range w.waitFor("connection refused", 2) {
		if why := fmt.Sprint(refused["why"]); !strings.Contains(why, "user presence") {
			t.Errorf("refused because of %q", why)
		}
	}
}

// securityKey is a FIDO key made of software.
type securityKey struct {
	private ed25519.PrivateKey
	touched bool
}

const application = "ssh:"

// PublicKey implements [ssh.Signer].
func (k securityKey) PublicKey() ssh.PublicKey {
	key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, k.private.Public().(ed25519.PublicKey), application}))
	if err != nil {
		panic(err)
	}
	return key
}

// Sign implements [ssh.Signer].
func (k securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	rest := []byte{0, 0, 0, 0, 7}
	if k.touched {
		rest[0] = 1
	}
	app, digest := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	signed := append(append(app[:], rest...), digest[:]...)
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.private, signed), Rest: rest}, nil
}
