package limit

import (
	"context"
	"sync"
	"time"

	"postern/policy"
	"postern/registry"
)

// patience is how long a connection waits for a place: a client that has closed one
// and opens the next is faster than the gateway at times.
const patience = time.Second

// Accounts are those of all clients that are there. The zero value is empty.
type Accounts struct {
	mu     sync.Mutex
	byName map[string]*Account
}

// Account is what one client has at the moment, over all its connections.
type Account struct {
	// In is the flow of what the client sends, and Out of what it gets.
	In, Out *Flow

	all    *Accounts
	client string
	// connections, sessions and left are guarded by all.mu; left is closed, and made
	// anew, when a connection has left.
	connections, sessions int
	left                  chan struct{}
}

// Enter counts a connection of a client, for which Leave must be called once. Where
// the client has as many as it may have already, it waits a moment for one to leave,
// or for the context; the error is a [*registry.Denial].
func (a *Accounts) Enter(ctx context.Context, c registry.Client) (*Account, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		account, left, denial := a.enter(c)
		if denial == nil {
			account.Apply(c.Bounds)
			return account, nil
		}
		select {
		case <-left:
			continue
		case <-limit.C:
		case <-ctx.Done():
		}
		return nil, denial
	}
}

// enter is Enter without patience: left tells when to ask again.
func (a *Accounts) enter(c registry.Client) (account *Account, left <-chan struct{}, denial *registry.Denial) {
	a.mu.Lock()
	defer a.mu.Unlock()
	account = a.byName[c.Name]
	if account == nil {
		account = &Account{In: newFlow(), Out: newFlow(), all: a, client: c.Name, left: make(chan struct{})}
	}
	if most, ok := c.Bounds.Connections.Number(); ok && int64(account.connections) >= most {
		return nil, account.left, tooManyConnections(c.Name, account.connections, most)
	}
	account.connections++
	if a.byName == nil {
		a.byName = map[string]*Account{}
	}
	a.byName[c.Name] = account
	return account, nil, nil
}

// Leave counts a connection off.
func (a *Account) Leave() {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	a.connections--
	close(a.left)
	a.left = make(chan struct{})
	if a.connections == 0 {
		delete(a.all.byName, a.client)
	}
}

// Begin counts a session of the client, until end is called once.
func (a *Account) Begin(b registry.Bounds) (end func(), refusal *policy.Refusal) {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if most, ok := b.Sessions.Number(); ok && int64(a.sessions) >= most {
		return nil, tooManySessions(a.client, a.sessions, most)
	}
	a.sessions++
	return a.end, nil
}

func (a *Account) end() {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	a.sessions--
}

// Apply has the data of the client flow as its limits are now, that of its sessions
// that run too.
func (a *Account) Apply(b registry.Bounds) {
	a.In.limit(b.In)
	a.Out.limit(b.Out)
}
