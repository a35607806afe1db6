// Package listening opens the sockets on which a gateway waits for connections: at
// addresses, on one interface alone, or those that systemd hands over.
package listening

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is where to listen.
type Address struct {
	// Host is an address, which may have a zone, or "localhost"; it is empty for all.
	Host string
	// Interface is the one that connections must come by; it is empty for all.
	Interface string
	Port      uint16
}

// Mistake says why a text is no [Address], and what to write.
type Mistake struct{ Message, Remedy string }

// Error implements error.
func (m *Mistake) Error() string { return m.Message + "; " + m.Remedy }

// forms are those that [Parse] takes.
const forms = `write "ADDRESS:PORT", ":PORT" for all addresses, or "INTERFACE:PORT" for those of one interface`

func mistake(format string, args ...any) error {
	return &Mistake{Message: fmt.Sprintf(format, args...), Remedy: forms}
}

// Parse reads "ADDRESS:PORT", ":PORT" or "INTERFACE:PORT". An error is a [*Mistake].
// Whether this host has the address or the interface, [Address.Open] finds out.
func Parse(text string) (Address, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Address{}, mistake("%q is not an address with a port", text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return Address{}, mistake("%q has no port from 0 to 65535", text)
	}
	a := Address{Host: host, Port: uint16(n)}
	if host == "" || host == "localhost" {
		return a, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		a.Host = ip.Unmap().String()
		return a, zoned(ip)
	}
	if !isInterface(host) {
		return Address{}, &Mistake{
			Message: fmt.Sprintf("%q is not an IP address, and no interface is called like that", host),
			Remedy:  forms + "; names of hosts are not looked up",
		}
	}
	return Address{Interface: host, Port: a.Port}, nil
}

// zoned returns what is wrong with the zone of an address: those of a link mean
// nothing without one, and all others nothing with one.
func zoned(ip netip.Addr) error {
	switch link := ip.Unmap().Is6() && ip.IsLinkLocalUnicast(); {
	case link && ip.Zone() == "":
		return &Mistake{
			Message: fmt.Sprintf("%q is an address of one link, and does not say which", ip),
			Remedy:  fmt.Sprintf(`write "[%s%%INTERFACE]:PORT"`, ip),
		}
	case !link && ip.Zone() != "":
		return &Mistake{
			Message: fmt.Sprintf("%q has a zone, which only addresses of one link (fe80::/10) have", ip),
			Remedy:  fmt.Sprintf(`write "%s:PORT" to listen on that interface alone`, ip.Zone()),
		}
	}
	return nil
}

// maxInterface is how long the name of an interface is at most (IFNAMSIZ, without
// the zero behind it).
const maxInterface = 15

// isInterface reports whether an interface may be called like that. Linux takes
// nearly everything; a dot is taken here for that before the number of a VLAN, so
// that a mistyped address or the name of a host is found to be wrong at once.
func isInterface(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const digits = "0123456789"
	parent, vlan, dotted := strings.Cut(name, ".")
	return len(name) <= maxInterface && strings.ContainsAny(parent, letters) && strings.Trim(parent, letters+digits+"-_") == "" &&
		(!dotted || vlan != "" && strings.Trim(vlan, digits) == "")
}

// String returns the address as [Parse] reads it.
func (a Address) String() string {
	host := a.Host
	if a.Interface != "" {
		host = a.Interface
	}
	return net.JoinHostPort(host, strconv.Itoa(int(a.Port)))
}
