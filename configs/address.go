package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// parseNetwork returns the network that a client may come from: an address
// stands for itself, and IPv4 that is mapped into IPv6 becomes IPv4.
func parseNetwork(text string) (network netip.Prefix, fault, remedy string) {
	const example = "write an address or a network, such as 192.168.1.7, 192.168.1.0/24 or 2001:db8::/48"
	if strings.ContainsRune(text, '%') {
		return netip.Prefix{}, "names a zone, which means nothing to other machines", "remove % and what follows it"
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), "", ""
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, "is neither an address nor a network", example
	}
	if masked := network.Masked(); masked != network {
		return netip.Prefix{}, fmt.Sprintf("has bits set behind its /%d", network.Bits()),
			fmt.Sprintf("write %s for the network, or %s for the one address", masked, network.Addr())
	}
	return unmapNetwork(network), "", ""
}

// mappedBits is how much of ::ffff:0:0/96 stands before the IPv4 address.
const mappedBits = 96

// unmapNetwork turns ::ffff:a.b.c.d/n into IPv4. A network that reaches beyond
// the mapped addresses stays IPv6.
func unmapNetwork(network netip.Prefix) netip.Prefix {
	if addr := network.Addr(); addr.Is4In6() && network.Bits() >= mappedBits {
		return netip.PrefixFrom(addr.Unmap(), network.Bits()-mappedBits)
	}
	return network
}
