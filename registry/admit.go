package registry

import (
	"fmt"
	"net/netip"
	"time"
)

// The codes of a [Denial].
const (
	UnknownKey       = "unknown-key"
	UnknownPrincipal = "unknown-principal"
	WrongLogin       = "wrong-login"
	Ambiguous        = "ambiguous"
	Disabled         = "disabled"
	Expired          = "expired"
	Address          = "address"
)

// Denial is why somebody is not let in.
type Denial struct {
	// Code names the reason in one word for records and filters.
	Code string
	// Message is the reason: lower case, foreign text quoted.
	Message string
	// Remedy is what the operator can change.
	Remedy string
}

// Error returns the reason and what to change.
func (d *Denial) Error() string { return d.Message + "; " + d.Remedy }

func wrongLogin(what, login string) *Denial {
	return &Denial{
		Code:    WrongLogin,
		Message: fmt.Sprintf("%s does not belong to the login name %q", what, login),
		Remedy:  "connect with the login name that the client's file names, or change its login",
	}
}

func ambiguous(first, second string) *Denial {
	return &Denial{
		Code:    Ambiguous,
		Message: fmt.Sprintf("the certificate stands for client %q and for client %q", first, second),
		Remedy:  "have it signed for the principals of one client, or give the clients different login names",
	}
}

// Admit reports whether the client, which proved who it is, may come in from
// the address at the time. An error is a [*Denial]. The address is compared
// without its zone, and as IPv4 where it is IPv4 mapped into IPv6, as a socket
// that listens on both reports it.
func (c Client) Admit(addr netip.Addr, now time.Time) error {
	switch {
	case c.Disabled:
		return &Denial{
			Code:    Disabled,
			Message: fmt.Sprintf("client %q is disabled", c.Name),
			Remedy:  fmt.Sprintf("postern client enable %s", c.Name),
		}
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		return &Denial{
			Code:    Expired,
			Message: fmt.Sprintf("client %q expired at %s", c.Name, c.Expires.Format(time.RFC3339)),
			Remedy:  "move expires in the client's file",
		}
	case !c.from(addr):
		return &Denial{
			Code:    Address,
			Message: fmt.Sprintf("client %q may not come from %s", c.Name, plain(addr)),
			Remedy:  "add the address to from in the client's file",
		}
	}
	return nil
}

// from reports whether the address is in one of the client's networks.
func (c Client) from(addr netip.Addr) bool {
	if len(c.From) == 0 {
		return true
	}
	addr = plain(addr)
	for _, network := range c.From {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// plain returns the address as networks are written.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
