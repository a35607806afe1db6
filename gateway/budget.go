package gateway

import (
	"sync"
	"time"
)

// The budget of requests that come to nothing: an OpenSSH client that sends its
// whole locale stays below 20, one that sends keepalives each second within the
// refill.
const (
	budgetBurst   = 100
	budgetPerSec  = 1
	maxKinds      = 32
	maxKindLength = 64
)

// budget is what a peer may waste. It refills with time, so that a connection
// can live for weeks.
type budget struct {
	now func() time.Time

	mu    sync.Mutex
	spent float64
	last  time.Time
}

// take spends one, and reports whether there was one to spend.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.spent = max(0, b.spent-passed*budgetPerSec)
	}
	b.last = now
	b.spent++
	return b.spent <= budgetBurst
}

// tally counts what was refused, by kind. What kinds there are is up to the
// peer, so their number and length are bounded.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

// add counts one. Kinds that every stock client sends unasked are left out:
// they would be in the record of every session and say nothing.
func (t *tally) add(kind string) {
	switch kind {
	case "keepalive@openssh.com", "keepalive@lag.net", "no-more-sessions@openssh.com":
		return
	}
	kind = kind[:min(len(kind), maxKindLength)]
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	if _, known := t.counts[kind]; !known && len(t.counts) >= maxKinds {
		kind = "others"
	}
	t.counts[kind]++
}

// take returns what was counted and starts again.
func (t *tally) take() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}
