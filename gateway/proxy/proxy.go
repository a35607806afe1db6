// Package proxy reads for whom a proxy opened a connection: the header of the PROXY
// protocol, of version 1 or 2, which a proxy sends before anything else
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt). Whom to believe is
// for the caller to know.
package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// The ways in which a header can be wrong. What Read returns wraps one of them.
var (
	// ErrSilent is a proxy that left, or had its time, before it sent a byte.
	ErrSilent = errors.New("it sent nothing")
	// ErrNoHeader is a connection that begins with something else.
	ErrNoHeader = errors.New("it sent no PROXY header")
	// ErrMalformed is a header that is cut off, too long or not of its form.
	ErrMalformed = errors.New("its PROXY header is malformed")
	// ErrNoTCP is a header for what is no TCP: UDP, or a socket of UNIX.
	ErrNoTCP = errors.New("its PROXY header is for no TCP connection")
	// ErrSource is a source that no peer can have.
	ErrSource = errors.New("its PROXY header has a source that nobody can have")
)

// Header is what a proxy says of its connection.
type Header struct {
	// Source is the address that the proxy was connected from. It is not valid
	// where the connection is the proxy's own, as for a health check (LOCAL), or
	// where it does not know (UNKNOWN of version 1).
	Source netip.AddrPort
	// Behind is what was read already of what comes behind the header, at most
	// [readAhead] bytes.
	Behind []byte
}

// readAhead is how much is read at once. A header of version 1 must come whole; it has
// 107 bytes at most.
const readAhead = 256

// Read reads a header. It reads no more than 16 bytes and 4 KiB of it, which is room
// for the certificate of a client among its further fields; these are looked at for
// their form alone. How long it may take is the reader's.
func Read(r io.Reader) (Header, error) {
	buffer := bufio.NewReaderSize(r, readAhead)
	if _, err := buffer.Peek(1); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	read, err := proxyproto.Read(buffer)
	if err != nil {
		return Header{}, wrong(err)
	}
	source, err := sourceOf(read)
	if err != nil {
		return Header{}, err
	}
	behind, err := buffer.Peek(buffer.Buffered())
	return Header{Source: source, Behind: behind}, err
}

// wrong sorts what the library says.
func wrong(err error) error {
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return ErrNoHeader
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// sourceOf returns whom a header names; nobody where the connection is the proxy's.
func sourceOf(h *proxyproto.Header) (netip.AddrPort, error) {
	if h.Command.IsLocal() {
		return netip.AddrPort{}, nil
	}
	tcp, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, ErrNoTCP
	}
	if _, err := h.TLVs(); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	source := tcp.AddrPort()
	source = netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
	if !possible(source.Addr()) {
		return netip.AddrPort{}, fmt.Errorf("%w: %s", ErrSource, source)
	}
	return source, nil
}

// possible reports whether a peer can have an address.
func possible(a netip.Addr) bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != broadcast
}
