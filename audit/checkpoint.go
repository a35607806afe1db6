package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"postern/internal/durable"
)

// How much of a trail may be without a signature: what is less old and shorter
// than this can be cut off by whoever can write the files, and nobody can tell.
const (
	signEvery = 1000
	signAfter = time.Minute
)

// format is the version of the records' schema (docs/audit-format.md).
const format = 1

// Checkpoint is a place in the chain under a signature. Whoever has it can tell
// later whether the trail still leads there.
type Checkpoint struct {
	// Number is that of a record, and Hash is its SHA-256 in base64.
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
	Time   string `json:"time"`
	// Signature is by the trail's Ed25519 key over the text that says the
	// same, in base64.
	Signature string `json:"signature"`
}

// text is what is signed.
func (c Checkpoint) text() []byte {
	return fmt.Appendf(nil, "postern audit checkpoint 1\n%d\n%s\n%s\n", c.Number, c.Hash, c.Time)
}

// Verify reports whether the checkpoint is signed by the key.
func (c Checkpoint) Verify(key ed25519.PublicKey) bool {
	signature, err := base64.RawStdEncoding.DecodeString(c.Signature)
	return err == nil && ed25519.Verify(key, c.text(), signature)
}

// unsigned reports whether it is time for a checkpoint.
func (s *store) unsigned(now time.Time) bool {
	since := now.Sub(s.signedAt)
	return s.last.number-s.signed >= signEvery || since >= signAfter || since < 0
}

// checkpoint signs the last record, as a record of its own and beside the trail.
func (t *Trail) checkpoint() error {
	s, now := t.store, t.now()
	c := Checkpoint{
		Number: s.last.number, Time: now.UTC().Format(timeFormat),
		Hash: encode(s.last.hash),
	}
	c.Signature = base64.RawStdEncoding.EncodeToString(ed25519.Sign(t.keeper.key, c.text()))
	err := t.chain(entry{zerolog.DebugLevel, checkpointEvent, closing, func(e *zerolog.Event) {
		e.Int("format", format).Uint64("through", c.Number).Str("hash", c.Hash).Str("signed_at", c.Time).Str("signature", c.Signature)
	}})
	if err != nil {
		return err
	}
	s.signed, s.signedAt = s.last.number, now
	return writeHead(s.dir, c)
}

// The names of the record that signs the one before it, and of the one that
// tells from where on the trail is kept.
const (
	checkpointEvent = "checkpoint"
	shortenedEvent  = "trail shortened"
)

// writeHead keeps the newest checkpoint beside the trail, where a file that was
// cut off is missed.
func writeHead(dir string, c Checkpoint) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return durable.Write(filepath.Join(dir, headName), append(text, '\n'), 0o600)
}

// Head returns the newest checkpoint of the trail in a folder.
func Head(dir string) (Checkpoint, error) {
	text, err := os.ReadFile(filepath.Join(dir, headName))
	if err != nil {
		return Checkpoint{}, err
	}
	return ParseCheckpoint(text)
}

// ParseCheckpoint reads a checkpoint as [Head] prints it in JSON.
func ParseCheckpoint(text []byte) (Checkpoint, error) {
	var c Checkpoint
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("not a checkpoint: %w", err)
	}
	return c, nil
}

// signingKey returns the key of a trail, and makes one for a new trail.
func signingKey(dir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, keyName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = newSigningKey(dir, path)
	}
	if err != nil {
		return nil, err
	}
	key, err := parsePEM(path, text, x509.ParsePKCS8PrivateKey)
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", path)
	}
	return private, publish(dir, private)
}

// newSigningKey makes the key of a new trail. A trail that lost its key is not
// new: whoever took it could go on with another one unseen.
func newSigningKey(dir, path string) ([]byte, error) {
	files, err := listFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		return nil, fmt.Errorf("%s is missing: bring the file back, or move the folder away to begin a new trail", path)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return text, durable.Create(path, text, 0o600)
}

// publish puts the public key beside the trail, to be copied elsewhere.
func publish(dir string, private ed25519.PrivateKey) error {
	path := filepath.Join(dir, publicName)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	open, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return err
	}
	return durable.Create(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}), 0o644)
}

func parsePEM(path string, text []byte, parse func([]byte) (any, error)) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM file", path)
	}
	key, err := parse(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// PublicKey reads the public key of a trail from a file.
func PublicKey(path string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := parsePEM(path, text, x509.ParsePKIXPublicKey)
	if err != nil {
		return nil, err
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", path)
	}
	return public, nil
}

// PublicKeyFile is where the public key of the trail in a folder lies.
func PublicKeyFile(dir string) string { return filepath.Join(dir, publicName) }
