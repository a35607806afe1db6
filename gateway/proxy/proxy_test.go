package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a header of version 2: command and version, family, and what follows.
func v2(command, family byte, body ...byte) string {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	return signature + string([]byte{command, family}) + string(length) + string(body)
}

var (
	tcp4 = []byte{192, 0, 2, 7, 10, 0, 0, 1, 0xc3, 0x51, 0x08, 0xae}
	tcp6 = slices.Concat(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice(), []byte{0xc3, 0x51, 0x08, 0xae})
	// tlv is a further field, of a kind that nobody knows.
	tlv = []byte{0xe0, 0, 3, 'a', 'b', 'c'}
)

func mapped(addr string) []byte { a := netip.MustParseAddr(addr).As16(); return a[:] }

func source4(addr string) []byte {
	return append(netip.MustParseAddr(addr).AsSlice(), tcp4[4:]...)
}

// samples are what a connection may begin with, and what that is.
func samples() map[string]struct {
	sent, want string
	err        error
} {
	type sample = struct {
		sent, want string
		err        error
	}
	const v1 = "PROXY TCP4 192.0.2.7 10.0.0.1 50001 2222\r\n"
	return map[string]sample{
		"v1":                       {sent: v1, want: "192.0.2.7:50001"},
		"v1 of IPv6":               {sent: "PROXY TCP6 2001:db8::7 2001:db8::1 50001 2222\r\n", want: "[2001:db8::7]:50001"},
		"v1 of mapped IPv4":        {sent: "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 50001 2222\r\n", want: "192.0.2.7:50001"},
		"v1 with port 0":           {sent: "PROXY TCP4 192.0.2.7 10.0.0.1 0 0\r\n", want: "192.0.2.7:0"},
		"v1 of nobody":             {sent: "PROXY UNKNOWN\r\n"},
		"v1 of nobody, with more":  {sent: "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"},
		"v1 with a line feed":      {sent: "PROXY TCP4 192.0.2.7 10.0.0.1 50001 2222\n", err: ErrMalformed},
		"v1 without an end":        {sent: "PROXY TCP4 192.0.2.7 10.0.0.1 50001 2222", err: ErrMalformed},
		"v1 that is too long":      {sent: "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", err: ErrMalformed},
		"v1 with one word too few": {sent: "PROXY TCP4 192.0.2.7 10.0.0.1 50001\r\n", err: ErrMalformed},
		"v1 with one word more":    {sent: "PROXY TCP4 192.0.2.7 10.0.0.1 50001 2222 1\r\n", err: ErrMalformed},
		"v1 with two spaces":       {sent: "PROXY  TCP4 192.0.2.7 10.0.0.1 50001 2222\r\n", err: ErrMalformed},
		"v1 of the wrong family":   {sent: "PROXY TCP4 2001:db8::7 2001:db8::1 50001 2222\r\n", err: ErrMalformed},
		"v1 of a zone":             {sent: "PROXY TCP6 fe80::7%eth0 fe80::1%eth0 50001 2222\r\n", err: ErrMalformed},
		"v1 of UDP":                {sent: "PROXY UDP4 192.0.2.7 10.0.0.1 50001 2222\r\n", err: ErrMalformed},
		"v1 of a name":             {sent: "PROXY TCP4 nas.local 10.0.0.1 50001 2222\r\n", err: ErrMalformed},
		"v1 in octal":              {sent: "PROXY TCP4 192.0.02.7 10.0.0.1 50001 2222\r\n", err: ErrMalformed},
		"v1 with a large port":     {sent: "PROXY TCP4 192.0.2.7 10.0.0.1 65536 2222\r\n", err: ErrMalformed},
		"v1 with a signed port":    {sent: "PROXY TCP4 192.0.2.7 10.0.0.1 +1 2222\r\n", err: ErrMalformed},
		"v1 with nothing else":     {sent: "PROXY\r\n", err: ErrMalformed},
		"v1 run together":          {sent: "PROXYTCP4 192.0.2.7 10.0.0.1 50001 2222\r\n", err: ErrMalformed},
		"v1 in lower case":         {sent: "proxy TCP4 192.0.2.7 10.0.0.1 50001 2222\r\n", err: ErrNoHeader},
		"v1 of no address":         {sent: "PROXY TCP4 0.0.0.0 10.0.0.1 50001 2222\r\n", err: ErrSource},
		"v1 of everybody":          {sent: "PROXY TCP4 255.255.255.255 10.0.0.1 50001 2222\r\n", err: ErrSource},
		"v1 of a group":            {sent: "PROXY TCP6 ff02::1 2001:db8::1 50001 2222\r\n", err: ErrSource},
		"v2":                       {sent: v2(0x21, 0x11, tcp4...), want: "192.0.2.7:50001"},
		"v2 of IPv6":               {sent: v2(0x21, 0x21, tcp6...), want: "[2001:db8::7]:50001"},
		"v2 of mapped IPv4":        {sent: v2(0x21, 0x21, slices.Concat(mapped("192.0.2.7"), mapped("10.0.0.1"), tcp4[8:])...), want: "192.0.2.7:50001"},
		"v2 with more":             {sent: v2(0x21, 0x11, append(tcp4[:12:12], tlv...)...), want: "192.0.2.7:50001"},
		"v2 with a certificate":    {sent: v2(0x21, 0x11, slices.Concat(tcp4, []byte{0x20, 0x0b, 0xb8}, make([]byte, 3000))...), want: "192.0.2.7:50001"},
		"v2 of the proxy's own":    {sent: v2(0x20, 0)},
		"v2 of its own, with more": {sent: v2(0x20, 0x11, append(tcp4[:12:12], tlv...)...)},
		"v2 of its own, cut":       {sent: v2(0x20, 0x11)},
		"v2 with half a field":     {sent: v2(0x21, 0x11, append(tcp4[:12:12], tlv[:4]...)...), err: ErrMalformed},
		"v2 that is too long":      {sent: v2(0x21, 0x11, make([]byte, 4097)...), err: ErrMalformed},
		"v2 of its own, too long":  {sent: v2(0x20, 0, make([]byte, 4097)...), err: ErrMalformed},
		"v2 that is too short":     {sent: v2(0x21, 0x21, tcp4...), err: ErrMalformed},
		"v2 cut in its signature":  {sent: signature[:7], err: ErrNoHeader},
		"v2 cut behind it":         {sent: signature, err: ErrMalformed},
		"v2 cut in its length":     {sent: signature + "\x21\x11\x00", err: ErrMalformed},
		"v2 cut in its addresses":  {sent: v2(0x21, 0x11, tcp4...)[:20], err: ErrMalformed},
		"v2 of version 3":          {sent: v2(0x31, 0x11, tcp4...), err: ErrMalformed},
		"v2 of another command":    {sent: v2(0x22, 0x11, tcp4...), err: ErrMalformed},
		"v2 of no family":          {sent: v2(0x21, 0, tcp4...), err: ErrMalformed},
		"v2 of an unknown one":     {sent: v2(0x21, 0x13, tcp4...), err: ErrMalformed},
		"v2 of UDP":                {sent: v2(0x21, 0x12, tcp4...), err: ErrNoTCP},
		"v2 of UNIX":               {sent: v2(0x21, 0x31, make([]byte, 216)...), err: ErrNoTCP},
		"v2 of no address":         {sent: v2(0x21, 0x11, source4("0.0.0.0")...), err: ErrSource},
		"v2 of a group":            {sent: v2(0x21, 0x11, source4("224.0.0.1")...), err: ErrSource},
		"nothing":                  {err: ErrSilent},
		"SSH":                      {sent: "SSH-2.0-OpenSSH_9.2\r\n", err: ErrNoHeader},
		"HTTP":                     {sent: "PUT / HTTP/1.1\r\n", err: ErrNoHeader},
		"noise":                    {sent: "\x00\xff", err: ErrNoHeader},
	}
}

// TestHeaders has what comes behind a header left as it is, a second header too.
func TestHeaders(t *testing.T) {
	const behind = "PROXY TCP4 198.51.100.1 10.0.0.1 1 2\r\nSSH-2.0-x\r\n"
	for name, s := range samples() {
		r := strings.NewReader(s.sent)
		if s.err == nil {
			r = strings.NewReader(s.sent + behind)
		}
		h, err := Read(r)
		if !errors.Is(err, s.err) || (err == nil) != (s.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, s.err)
			continue
		}
		if s.err != nil {
			continue
		}
		want, _ := netip.ParseAddrPort(s.want)
		rest, _ := io.ReadAll(r)
		if got := string(h.Behind) + string(rest); h.Source != want || got != behind {
			t.Errorf("%s: %s, want %s; behind it %q", name, h.Source, want, got)
		}
	}
}

// counted counts what was read.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// FuzzRead holds that nothing is read without end, that what is behind a header is
// left as it is, and that a source which is believed is read again as the same.
func FuzzRead(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte(s.sent))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := &counted{Reader: bytes.NewReader(sent)}
		h, err := Read(r)
		if most := 16 + 4096 + readAhead; r.n > most {
			t.Fatalf("%d bytes were read", r.n)
		}
		if err != nil {
			if h.Source.IsValid() || h.Behind != nil {
				t.Fatalf("%v, and %v", err, h)
			}
			return
		}
		if !bytes.HasSuffix(sent[:r.n], h.Behind) {
			t.Fatalf("%q is not what is behind it", h.Behind)
		}
		if !h.Source.IsValid() {
			return
		}
		if a := h.Source.Addr(); !possible(a) || a.Is4In6() || a.Zone() != "" {
			t.Fatalf("%s is believed", h.Source)
		}
		for version := byte(1); version <= 2; version++ {
			tcp := net.TCPAddrFromAddrPort(h.Source)
			text, err := proxyproto.HeaderProxyFromAddrs(version, tcp, tcp).Format()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Read(bytes.NewReader(text)); err != nil || again.Source != h.Source {
				t.Fatalf("%q is %v, %v; want %s", text, again.Source, err, h.Source)
			}
		}
	})
}
