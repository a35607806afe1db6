package gateway

import (
	"sync"

	"postern/audit"
	"postern/internal/borgrpc"
)

// listener counts the operations of a borg session beside its data. The client
// may go on sending when the child has ended, hence the lock.
type listener struct {
	mu     sync.Mutex
	reader borgrpc.Reader
}

// hear takes the next piece of what the child is given.
func (l *listener) hear(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reader.Write(p)
}

// operations are what was counted, as the trail keeps it.
func (l *listener) operations(session string) audit.Operations {
	l.mu.Lock()
	counts := l.reader.Counts()
	l.mu.Unlock()
	o := audit.Operations{Session: session, Stopped: counts.Stopped}
	for _, r := range counts.Repositories {
		o.Repositories = append(o.Repositories, audit.Repository{Path: r.Path, Create: r.Create, Methods: r.Methods, Put: r.Put})
	}
	return o
}
