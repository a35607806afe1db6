package configs

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Revocations are the keys and certificates that are refused whatever else is
// said. It never changes; nil revokes nothing.
type Revocations struct {
	// serials are ordered and do not touch each other.
	serials      []serials
	fingerprints map[[sha256.Size]byte]bool
}

// serials is a range of serial numbers, both ends included.
type serials struct{ first, last uint64 }

// RevokedKey reports whether the key is revoked. Of a certificate that is the
// key that it certifies.
func (r *Revocations) RevokedKey(key ssh.PublicKey) bool {
	if r == nil {
		return false
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	return r.fingerprints[sha256.Sum256(key.Marshal())]
}

// RevokedCertificate reports whether the certificate is revoked: by its serial
// number, whichever CA signed it, by the key that it certifies, or by its CA.
func (r *Revocations) RevokedCertificate(cert *ssh.Certificate) bool {
	if r == nil {
		return false
	}
	return r.revokedSerial(cert.Serial) || r.RevokedKey(cert.Key) || r.RevokedKey(cert.SignatureKey)
}

func (r *Revocations) revokedSerial(serial uint64) bool {
	i, exact := slices.BinarySearchFunc(r.serials, serial, func(s serials, n uint64) int {
		return cmp.Compare(s.first, n)
	})
	return exact || i > 0 && serial <= r.serials[i-1].last
}

// readRevoked reads a revocation list: on each line a serial number or a range,
// the fingerprint of a key or a CA, or a whole public key.
func readRevoked(s *source) *Revocations {
	r := &Revocations{fingerprints: map[[sha256.Size]byte]bool{}}
	n := 0
	for line := range strings.Lines(s.text) {
		n++
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		if f, bad := r.add(text); bad {
			s.fault(mark{n, 1 + strings.Index(line, text)}, f.remedy, "%s", f.message)
		}
	}
	r.mergeSerials()
	return r
}

// add adds what one line says.
func (r *Revocations) add(line string) (fault, bool) {
	value, _, _ := strings.Cut(line, " #")
	value = strings.TrimSpace(value)
	switch {
	case strings.HasPrefix(value, "serial:"):
		return r.addSerials(strings.TrimSpace(strings.TrimPrefix(value, "serial:")))
	case strings.HasPrefix(value, "SHA256:"):
		return r.addFingerprint(strings.TrimPrefix(value, "SHA256:"))
	case strings.HasPrefix(value, "id:"), strings.HasPrefix(value, "MD5:"):
		return faultf("use the serial number, or the fingerprint of the key (ssh-keygen -l)", "the line is of a kind that is not known here"), true
	}
	return r.addKey(line)
}

// addKey adds a whole public key. One that would be refused as a client's, for
// being short or of an old type, can be revoked all the same.
func (r *Revocations) addKey(line string) (fault, bool) {
	key, faults := parseKey(line)
	if key.Public == nil {
		return faultf("write serial: 12, serial: 10-20, SHA256:..., or a public key", "%s", faults[0].message), true
	}
	if f, bad := badKeyType(key.Public); bad {
		faults = slices.DeleteFunc(faults, func(g fault) bool { return f == g })
	}
	if len(faults) > 0 {
		return faults[0], true
	}
	if cert, ok := key.Public.(*ssh.Certificate); ok {
		key.Public = cert.Key
	}
	r.fingerprints[sha256.Sum256(key.Public.Marshal())] = true
	return fault{}, false
}

func (r *Revocations) addSerials(text string) (fault, bool) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 64)
	last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 64)
	switch {
	case err1 != nil || err2 != nil:
		return faultf("write serial: 12 or serial: 10-20", "%q is not a serial number", text), true
	case first == 0:
		return faultf("revoke such certificates by the fingerprint of their key", "serial 0 is what every certificate without a serial number has"), true
	case first > last:
		return faultf("write the lower number first", "the range %q is empty", text), true
	}
	r.serials = append(r.serials, serials{first, last})
	return fault{}, false
}

func (r *Revocations) addFingerprint(text string) (fault, bool) {
	sum, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(sum) != sha256.Size {
		return faultf("copy it from ssh-keygen -l: SHA256: and 43 characters", "the fingerprint is not whole"), true
	}
	r.fingerprints[[sha256.Size]byte(sum)] = true
	return fault{}, false
}

// mergeSerials orders the ranges and joins those that overlap or touch.
func (r *Revocations) mergeSerials() {
	slices.SortFunc(r.serials, func(a, b serials) int { return cmp.Compare(a.first, b.first) })
	merged := r.serials[:0]
	for _, s := range r.serials {
		if n := len(merged); n > 0 && (merged[n-1].last == math.MaxUint64 || s.first <= merged[n-1].last+1) {
			merged[n-1].last = max(merged[n-1].last, s.last)
			continue
		}
		merged = append(merged, s)
	}
	r.serials = merged
}
