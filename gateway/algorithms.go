package gateway

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
)

// The smallest RSA keys: of clients, as RequiredRSASize of sshd's hardened
// configurations, and of authorities. The library refuses those over 16384 bits.
const minRSA = 2048

// modern is what the gateway negotiates: what OpenSSH has offered since 7.4 or
// longer, and nothing with SHA-1, CBC or a group below 2048 bits. Strict key
// exchange is always on.
func modern() ssh.Config {
	return ssh.Config{
		KeyExchanges: []string{
			ssh.KeyExchangeMLKEM768X25519,
			ssh.KeyExchangeCurve25519,
			ssh.KeyExchangeECDHP256,
			ssh.KeyExchangeECDHP384,
			ssh.KeyExchangeECDHP521,
			ssh.KeyExchangeDH16SHA512,
			ssh.KeyExchangeDH14SHA256,
		},
		Ciphers: []string{
			ssh.CipherAES128GCM,
			ssh.CipherAES256GCM,
			ssh.CipherChaCha20Poly1305,
			ssh.CipherAES128CTR,
			ssh.CipherAES192CTR,
			ssh.CipherAES256CTR,
		},
		MACs: []string{
			ssh.HMACSHA256ETM,
			ssh.HMACSHA512ETM,
			ssh.HMACSHA256,
			ssh.HMACSHA512,
		},
	}
}

// signatures are the algorithms by which a client may prove its key, and an
// authority may have signed a certificate.
func signatures() []string {
	return []string{
		ssh.KeyAlgoED25519,
		ssh.KeyAlgoSKED25519,
		ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256,
		ssh.KeyAlgoECDSA384,
		ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512,
		ssh.KeyAlgoRSASHA256,
	}
}

// strong reports whether a key is of a type that can sign with one of
// [signatures], and long enough.
func strong(key ssh.PublicKey) bool {
	if key.Type() != ssh.KeyAlgoRSA {
		return slices.Contains(signatures(), key.Type())
	}
	crypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return false
	}
	public, ok := crypto.CryptoPublicKey().(*rsa.PublicKey)
	return ok && public.N.BitLen() >= minRSA
}

// hostKeys returns the signers such that each signs with one of [signatures]
// alone; for RSA the library would offer SHA-1.
func hostKeys(signers []ssh.Signer) ([]ssh.MultiAlgorithmSigner, error) {
	if len(signers) == 0 {
		return nil, errors.New("there is no host key; postern init makes one")
	}
	var kept []ssh.MultiAlgorithmSigner
	for _, signer := range signers {
		key := signer.PublicKey()
		able, ok := signer.(ssh.AlgorithmSigner)
		if !ok || !strong(key) {
			return nil, fmt.Errorf("host key %s is of type %s, which is not served or too short", ssh.FingerprintSHA256(key), key.Type())
		}
		if slices.ContainsFunc(kept, func(k ssh.MultiAlgorithmSigner) bool { return k.PublicKey().Type() == key.Type() }) {
			return nil, fmt.Errorf("there are two host keys of type %s", key.Type())
		}
		algorithms := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		limited, err := ssh.NewSignerWithAlgorithms(able, algorithms)
		if err != nil {
			return nil, fmt.Errorf("host key %s: %w", ssh.FingerprintSHA256(key), err)
		}
		kept = append(kept, limited)
	}
	return kept, nil
}
