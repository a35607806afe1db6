package main

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"postern/configs"
	"postern/sandbox"
)

// TestConfinement holds what a gateway settles for. Nothing falls to none unless
// that is asked for by name.
func TestConfinement(t *testing.T) {
	const none, landlock, namespaces, full = sandbox.None, sandbox.Landlock, sandbox.Namespaces, sandbox.Full
	for _, test := range []struct {
		require, most string
		host          sandbox.Level
		want          sandbox.Level // 0 is an error
	}{
		{"", "", full, full},
		{"", "", landlock, landlock},
		{"", "", namespaces, namespaces},
		{"", "", none, 0},
		{"", "full", none, 0},
		{"none", "", none, none},
		{"none", "", full, full},
		{"none", "none", full, none},
		{"full", "", full, full},
		{"full", "", landlock, 0},
		{"full", "", namespaces, 0},
		{"landlock", "", full, full},
		{"landlock", "", landlock, landlock},
		{"landlock", "", namespaces, 0},
		{"namespaces", "", landlock, 0},
		{"landlock", "landlock", full, landlock},
		{"landlock", "landlock", namespaces, 0},
		{"", "landlock", namespaces, 0},
		{"none", "landlock", namespaces, none},
		{"none", "namespaces", full, namespaces},
	} {
		host := sandbox.Ability{Level: test.host, Hints: []string{"a newer kernel"}}
		got, err := confinement(configs.Sandbox{Require: test.require, Most: test.most}, host)
		if (err == nil) != (test.want != 0) || err == nil && got != test.want {
			t.Errorf("require %q, most %q on a host of %s: %s, %v", test.require, test.most, test.host, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "a newer kernel") {
			t.Errorf("the error does not say what would help: %v", err)
		}
	}
}

// TestBorgHostID holds that the name in borg's locks is the gateway's alone, and
// one that borg can take apart: it splits at the last dot and dash.
func TestBorgHostID(t *testing.T) {
	id := func(seed byte) string {
		private := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return borgHostID(signer.PublicKey())
	}
	if a := id('a'); a != id('a') || a == id('b') || strings.ContainsAny(a, ".-/") {
		t.Errorf("%q, and %q", a, id('b'))
	}
}
