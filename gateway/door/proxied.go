package door

import (
	"fmt"
	"net/netip"
	"sync"
)

// Await asks for a connection to be held of which a proxy has not said yet whom it is
// for. Those are counted by themselves, and together whichever proxy they come from:
// everybody is behind it. An error is a [Refusal]; otherwise over must be called once
// it is known, or will not be.
func (d *Door) Await() (over func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.config.Startups.refuses(d.awaited, d.config.Chance) {
		return nil, Refusal(fmt.Sprintf("%d connections of proxies are on their way in already", d.awaited))
	}
	d.awaited++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.awaited--
	}), nil
}

// KnockProxy is [Door.Knock] for a connection that a proxy makes for itself, to see
// whether the gateway is well. It counts as one of a known source, and has no
// penalties: if it were kept out, so would be everybody behind the proxy.
func (d *Door) KnockProxy(proxy netip.Addr, leave func()) (*Visit, error) {
	return d.knock(&Visit{known: true, exempt: true, leave: leave}, proxy)
}
