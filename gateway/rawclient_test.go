package gateway_test

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// rawClient speaks the transport of SSH and lets its user send any packet at any
// time, which no real client does. It believes whatever host key it is shown.
type rawClient struct {
	net.Conn
	t    *testing.T
	in   *bufio.Reader
	seal cipher.AEAD
	iv   [12]byte
	// session is the identifier that signatures are made for.
	session []byte
}

// The numbers of messages.
const (
	msgIgnore         = 2
	msgServiceRequest = 5
	msgNewKeys        = 21
	msgUserauth       = 50
	msgChannelData    = 94
)

// kexInit is a KEXINIT message.
type kexInit struct {
	Cookie                                [16]byte `sshtype:"20"`
	Kex, HostKeys                         []string
	CiphersOut, CiphersIn, MACsOut        []string
	MACsIn, CompressionsOut, Compressions []string
	LanguagesOut, LanguagesIn             []string
	FirstFollows                          bool
	Reserved                              uint32
}

const rawVersion = "SSH-2.0-raw"

// connectRaw connects and returns the gateway's KEXINIT.
func connectRaw(t *testing.T, addr string) (c *rawClient, version string, payload []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c = &rawClient{Conn: conn, t: t, in: bufio.NewReader(conn)}
	if _, err := io.WriteString(c, rawVersion+"\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, line[:len(line)-2], c.readPlain()
}

// readPlain reads a packet before encryption.
func (c *rawClient) readPlain() []byte {
	c.t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		c.t.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[:])-1)
	if _, err := io.ReadFull(c.in, rest); err != nil {
		c.t.Fatal(err)
	}
	return rest[:len(rest)-int(head[4])]
}

// packet frames a payload, sealed once there are keys. A gateway that has closed
// the connection is not an error.
func (c *rawClient) packet(payload []byte) {
	block := 8
	if c.seal != nil {
		block = 16
	}
	padding := block - (1+len(payload))%block
	if c.seal == nil {
		padding = block - (5+len(payload))%block
	}
	if padding < 4 {
		padding += block
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	body := append([]byte{byte(padding)}, payload...)
	body = append(body, make([]byte, padding)...)
	if c.seal == nil {
		c.Write(append(frame, body...))
		return
	}
	c.Write(c.seal.Seal(frame, c.iv[:], body, frame))
	for i := len(c.iv) - 1; i >= 4; i-- {
		if c.iv[i]++; c.iv[i] != 0 {
			break
		}
	}
}

// handshake connects and exchanges keys; what is sent from then on is sealed.
func handshake(t *testing.T, addr string) *rawClient {
	t.Helper()
	c, version, theirs := connectRaw(t, addr)
	none := []string{"none"}
	gcm := []string{ssh.CipherAES128GCM}
	ours := ssh.Marshal(&kexInit{
		Kex: []string{ssh.KeyExchangeCurve25519}, HostKeys: []string{ssh.KeyAlgoED25519},
		CiphersOut: gcm, CiphersIn: gcm, MACsOut: []string{ssh.HMACSHA256}, MACsIn: []string{ssh.HMACSHA256},
		CompressionsOut: none, Compressions: none,
	})
	c.packet(ours)
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := private.PublicKey().Bytes()
	c.packet(ssh.Marshal(struct {
		Key []byte `sshtype:"30"`
	}{public}))
	var reply struct {
		HostKey   []byte `sshtype:"31"`
		Key       []byte
		Signature []byte
	}
	if err := ssh.Unmarshal(c.readPlain(), &reply); err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.X25519().NewPublicKey(reply.Key)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := private.ECDH(peer)
	if err != nil {
		t.Fatal(err)
	}
	secret := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(shared)})
	hash := sha256.Sum256(append(ssh.Marshal(struct {
		A, B          string
		C, D, E, F, G []byte
	}{rawVersion, version, ours, theirs, reply.HostKey, public, reply.Key}), secret...))
	derive := func(letter byte) []byte {
		sum := sha256.Sum256(append(append(append(secret[:len(secret):len(secret)], hash[:]...), letter), hash[:]...))
		return sum[:]
	}
	c.session = hash[:]
	c.readPlain() // NEWKEYS
	c.packet([]byte{msgNewKeys})
	block, err := aes.NewCipher(derive('C')[:16])
	if err != nil {
		t.Fatal(err)
	}
	if c.seal, err = cipher.NewGCM(block); err != nil {
		t.Fatal(err)
	}
	copy(c.iv[:], derive('A'))
	return c
}

// request asks for a service.
func (c *rawClient) request(service string) {
	c.packet(ssh.Marshal(struct {
		Service string `sshtype:"5"`
	}{service}))
}

// attempt is an authentication by public key.
type attempt struct {
	User      string `sshtype:"50"`
	Service   string
	Method    string
	Signed    bool
	Algorithm string
	Key       []byte
}

// offer names a key without a signature.
func (c *rawClient) offer(login string, key ssh.PublicKey) {
	c.packet(ssh.Marshal(attempt{login, "ssh-connection", "publickey", false, key.Type(), key.Marshal()}))
}

// authenticate signs in with a key.
func (c *rawClient) authenticate(login string, key ssh.Signer) {
	c.t.Helper()
	a := ssh.Marshal(attempt{login, "ssh-connection", "publickey", true, key.PublicKey().Type(), key.PublicKey().Marshal()})
	signature, err := key.Sign(rand.Reader, append(ssh.Marshal(struct{ Session []byte }{c.session}), a...))
	if err != nil {
		c.t.Fatal(err)
	}
	c.packet(append(a, ssh.Marshal(struct{ Signature []byte }{ssh.Marshal(signature)})...))
}
