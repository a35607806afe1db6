package configs

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"postern/registry"
)

// fault is what is wrong with a value, and the remedy.
type fault struct{ message, remedy string }

func faultf(remedy, format string, args ...any) fault {
	return fault{fmt.Sprintf(format, args...), remedy}
}

// RSA keys are accepted from rsaLeast bits, which is what NIST and OpenSSH ask
// for, to rsaMost, which is what ssh-keygen makes at most: larger ones only cost
// time to verify.
const (
	rsaLeast = 2048
	rsaMost  = 16384
)

const (
	privateKeyMessage = "this is a private key"
	privateKeyRemedy  = "remove it, write the line of the .pub file instead, and make a new key: this one has been where it should not be"
	renewKey          = "make a new one: ssh-keygen -t ed25519"
	keyExample        = "write one line of a .pub file, such as \"ssh-ed25519 AAAA... comment\""
)

// privateKeyIn returns the place of a private key in the text, or -1.
func privateKeyIn(text string) int {
	for _, sign := range []string{
		"PRIVATE KEY-----",
		"PRIVATE KEY ----",
		"PuTTY-User-Key-File-",
		"b3BlbnNzaC1rZXktdjE", // "openssh-key-v1" in base64
	} {
		if at := strings.Index(text, sign); at >= 0 {
			return at
		}
	}
	return -1
}

// parseKey reads one key in the syntax of authorized_keys. Faults never repeat
// the text of what might be a secret.
func parseKey(text string) (registry.Key, []fault) {
	if f, ok := notOneKey(text); ok {
		return registry.Key{}, []fault{f}
	}
	public, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(rest) > 0 {
		return registry.Key{}, []fault{unreadableKey(text)}
	}
	key := registry.Key{Public: public, Comment: comment}
	var faults []fault
	if f, bad := badKeyType(public); bad {
		faults = append(faults, f)
	}
	for _, option := range options {
		if strings.EqualFold(option, "no-touch-required") && isSecurityKey(public) {
			key.NoTouchRequired = true
			continue
		}
		name, _, _ := strings.Cut(strings.ToLower(option), "=")
		faults = append(faults, faultf(optionRemedy(name), "key has the option %q, which is refused", name))
	}
	return key, faults
}

// notOneKey finds what people write in place of a key.
func notOneKey(text string) (fault, bool) {
	switch {
	case privateKeyIn(text) >= 0:
		return fault{privateKeyMessage, privateKeyRemedy}, true
	case strings.Contains(text, "\n"):
		return faultf("write each key as an item of its own", "key has more than one line"), true
	case strings.HasPrefix(text, "#"):
		return faultf(keyExample, "key is a comment"), true
	case strings.HasPrefix(text, "---- BEGIN SSH2"):
		return faultf("convert it: ssh-keygen -i -f FILE", "key is in the format of RFC 4716"), true
	case strings.HasPrefix(text, "/"), strings.HasPrefix(text, "~"), strings.HasSuffix(text, ".pub") && !strings.Contains(text, " "):
		return faultf("write the content of the file", "key %q is the name of a file", text), true
	case strings.HasPrefix(text, "SHA256:"):
		return faultf(keyExample, "key is only a fingerprint"), true
	}
	return fault{}, false
}

// unreadableKey says why the text is no key, as far as that can be told.
func unreadableKey(text string) fault {
	_, rest, _ := strings.Cut(text, ssh.KeyAlgoRSA+" ")
	encoded, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if bits := rsaBits(blob); err == nil && bits > rsaMost {
		// The SSH library refuses it without saying so.
		return faultf(renewKey, "key is RSA of %d bits, more than %d", bits, rsaMost)
	}
	return faultf(keyExample+", whole and unbroken", "key cannot be read")
}

// rsaBits returns the length of an RSA key in wire format, or 0.
func rsaBits(blob []byte) int {
	var key struct {
		Type string
		E, N *big.Int
	}
	if ssh.Unmarshal(blob, &key) != nil || key.Type != ssh.KeyAlgoRSA {
		return 0
	}
	return key.N.BitLen()
}

// badKeyType finds keys that are too weak, and certificates.
func badKeyType(key ssh.PublicKey) (fault, bool) {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return fault{}, false
	case ssh.KeyAlgoRSA:
		if bits := rsaBits(key.Marshal()); bits < rsaLeast {
			return faultf(renewKey, "key is RSA of %d bits, fewer than %d", bits, rsaLeast), true
		}
		return fault{}, false
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return faultf("name its CA under certificates.authorities in postern.yaml, and its principal under principals here",
			"key is a certificate"), true
	}
	return faultf(renewKey, "key is of type %s, which is refused", key.Type()), true
}

func isSecurityKey(key ssh.PublicKey) bool {
	return slices.Contains([]string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256}, key.Type())
}

// optionRemedy says what stands for an option of authorized_keys here.
func optionRemedy(name string) string {
	switch name {
	case "no-touch-required":
		return "remove it: it is for sk- keys, and takes no value"
	case "from":
		return "write the networks under the key from"
	case "command":
		return "write what the client may do under the key allow"
	case "expiry-time":
		return "write the last day under the key expires"
	case "cert-authority":
		return "write the key under certificates.authorities in postern.yaml"
	case "principals":
		return "write the names under the key principals"
	case "verify-required":
		return "remove the option or the key: the SSH library cannot demand a PIN, so the option would promise what is not kept"
	case "restrict", "no-pty", "no-port-forwarding", "no-agent-forwarding", "no-x11-forwarding", "no-user-rc":
		return "remove it: it is so already"
	case "environment", "permitopen", "permitlisten", "tunnel", "pty", "port-forwarding",
		"agent-forwarding", "x11-forwarding", "user-rc":
		return "remove it: no client gets that here"
	}
	return "remove it; only no-touch-required is known here"
}
