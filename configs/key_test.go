package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// dsaLine is the line of a key of 1024 bits, which nobody makes any more.
const dsaLine = "ssh-dss AAAAB3NzaC1kc3MAAACBAJpbX2kvWfP/TncWN0tsu/DSG30vQfR6eYR9nZx56ei83ydrO32EiVaM3b39MzTa2Wn8aSwXNg66RfFRUcWD41PL20OlVmPXJSW4DePQfF37A4CaTAswbpF2f0Tv4LpajJD1w6z0ymSMNNv9XUIctVVSNoV+QxrSVMgA35E+575BAAAAFQCKSa4+nsNMBRnb4P8XVmW01mjUzQAAAIBrE7lLthkyex/V7Qu6NGOmzn/L3dQAW77IJiYqHhihHv87lqpzpHjaj+cg7LXdMWkWSqDD6QJY+2oSdLdgfMLIE4zGve9f97UJ7L8fX1uuE/dkgL8fUee+nPZbUQxHNJTrXHq1UXBHAxMFV9T4mBkQ7Ua2WfvEdT1xmuQN9P+wHwAAAIAlf9GvQh1P8eusbXnlQ2LCj0fATL7WJeewQr2bRCM7F0ykNMgK5sM0eVL5tl19k8vnvqc91f2XpEbf0ukGmPgC1uoKaeYsoqRKQg5op8/3PtJq/OEuyYxAO8pyWeEkyigy9P8UizSnsfynflLUKLo4eVGz3AR20Cf2gj9ETmWzhA=="

// line returns the authorized_keys line of a key.
func line(t testing.TB, public any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// rsaLine returns the line of an RSA key of that many bits. Nobody has the
// private key: the modulus is just a number.
func rsaLine(t testing.TB, bits int) string {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return line(t, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
}

func ecdsaLine(t testing.TB, curve elliptic.Curve) string {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line(t, key.Public())
}

func securityECDSALine(t testing.TB) string {
	plain, _, _, _, err := ssh.ParseAuthorizedKey([]byte(ecdsaLine(t, elliptic.P256())))
	if err != nil {
		t.Fatal(err)
	}
	var parts struct{ Type, Curve, Point string }
	if err := ssh.Unmarshal(plain.Marshal(), &parts); err != nil {
		t.Fatal(err)
	}
	blob := ssh.Marshal(struct{ Type, Curve, Point, Application string }{
		ssh.KeyAlgoSKECDSA256, parts.Curve, parts.Point, "ssh:",
	})
	return ssh.KeyAlgoSKECDSA256 + " " + base64.StdEncoding.EncodeToString(blob)
}

func TestGoodKeys(t *testing.T) {
	for name, text := range map[string]string{
		"ed25519":            goodKey,
		"with a comment":     goodKey + " backup@laptop of \"Ann\", 2024",
		"tabs and spaces":    strings.Replace(goodKey, " ", "\t  ", 1) + " \t comment",
		"ecdsa nistp256":     ecdsaLine(t, elliptic.P256()),
		"ecdsa nistp384":     ecdsaLine(t, elliptic.P384()),
		"ecdsa nistp521":     ecdsaLine(t, elliptic.P521()),
		"RSA of 2048 bits":   rsaLine(t, 2048),
		"RSA of 16384 bits":  rsaLine(t, 16384),
		"sk-ed25519":         securityKey,
		"sk-ecdsa":           securityECDSALine(t),
		"H10 no touch":       "no-touch-required " + securityKey,
		"H10 no touch, SHUT": "NO-TOUCH-REQUIRED " + securityECDSALine(t),
		"no touch, twice":    "no-touch-required,no-touch-required " + securityKey,
	} {
		key, faults := parseKey(text)
		if len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
			continue
		}
		if want := strings.Contains(name, "no touch"); key.NoTouchRequired != want {
			t.Errorf("%s: no touch is %v", name, key.NoTouchRequired)
		}
	}
}

func TestBadKeys(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"H11 RSA of 1024 bits", rsaLine(t, 1024), "key is RSA of 1024 bits, fewer than 2048"},
		{"H11 RSA of 2047 bits", rsaLine(t, 2047), "key is RSA of 2047 bits, fewer than 2048"},
		{"H11 RSA of 16385 bits", rsaLine(t, 16385), "key is RSA of 16385 bits, more than 16384"},
		{"H11 RSA of 16385 bits with options", "restrict " + rsaLine(t, 16385), "key is RSA of 16385 bits, more than 16384"},
		{"H11 DSA", dsaLine, "key is of type ssh-dss, which is refused"},
		{"H10 a PIN is demanded", "verify-required " + securityKey, `key has the option "verify-required", which is refused`},
		{"H10 no touch of a key that is never touched", "no-touch-required " + goodKey, `key has the option "no-touch-required", which is refused`},
		{"an option with a quoted space", `command="rsync --server" ` + goodKey, `key has the option "command", which is refused`},
		{"an option in capitals", `FROM="10.0.0.0/8" ` + goodKey, `key has the option "from", which is refused`},
		{"two keys on two lines", goodKey + "\n" + caKey, "key has more than one line"},
		{"a key after garbage", "garbage\n" + goodKey, "key has more than one line"},
		{"a key after a comment", "# comment\n" + goodKey, "key has more than one line"},
		{"a carriage return between two", goodKey + "\r\n" + caKey, "key has more than one line"},
		{"nothing", "", "key cannot be read"},
		{"only the type", "ssh-ed25519", "key cannot be read"},
		{"only the base64", strings.Fields(goodKey)[1], "key cannot be read"},
		{"not base64", "ssh-ed25519 !!!!", "key cannot be read"},
		{"cut off", goodKey[:40], "key cannot be read"},
		{"another type in front", strings.Replace(goodKey, "ssh-ed25519", "ssh-rsa", 1), "key cannot be read"},
		{"a host's line of known_hosts", "nas.local " + goodKey, `key has the option "nas.local", which is refused`},
		{"a quote that does not end", `from="10.0.0.0/8 ` + goodKey, "key cannot be read"},
		{"a comment", "# " + goodKey, "key is a comment"},
		{"a file name", "/root/.ssh/id_rsa.pub", `key "/root/.ssh/id_rsa.pub" is the name of a file`},
		{"RFC 4716", "---- BEGIN SSH2 PUBLIC KEY ----", "key is in the format of RFC 4716"},
		{"a fingerprint", "SHA256:JlQhK5nKHo1S9nUlhCCoJjyHZkBEuQgsuQPJ5sV9VgE", "key is only a fingerprint"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, faults := parseKey(test.text)
			if len(faults) != 1 || faults[0].message != test.want || faults[0].remedy == "" {
				t.Errorf("faults %q, want %q", faults, test.want)
			}
		})
	}
}

func newPrivateKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
