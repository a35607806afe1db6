// Package sender gives the records of a trail to other places: journald, a syslog
// server, standard output.
//
// The trail is the truth and is never held up. Each destination has a courier of
// its own that reads the trail's files behind the writer, and keeps durably beside
// them how far it came; so a destination that is away, even for days, misses nothing
// that the trail still keeps, and memory stays bounded.
//
// A destination gets each record at least once. After a loss it gets again what it
// may not have taken; the number of a record tells which it has already.
package sender

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postern/audit"
)

// Destination is where records go.
type Destination interface {
	// String names it in records.
	String() string
	// open returns a way there for the records behind one, before the context is
	// done.
	open(ctx context.Context, p pace, from uint64) (way, error)
}

// way is an open way to a destination.
type way interface {
	// send hands a record over. It does not wait for the destination longer than
	// the pace's patience, where that can be helped.
	send(audit.Record) error
	// arrived returns the number of the last record that the destination has, as
	// far as it seems; and an error where it takes none.
	arrived() (uint64, error)
	// lost yields why the way is gone; it is nil where nobody knows before they
	// send.
	lost() <-chan error
	// finish says that nothing more comes, and waits until all has arrived.
	finish() error
	// ended returns the number of the last record that the destination has, now
	// that the way has ended with an error or, when it was finished, without.
	ended(error) uint64
	// close ends the way at once, and whatever waits for it.
	close()
}

// pace are the times of a sender.
type pace struct {
	// least and most are how long a destination that failed is left alone,
	// doubled each time.
	least, most time.Duration
	// settle is how long a record must have been on its way before it is taken
	// for one that arrived.
	settle time.Duration
	// patience is how long a destination may do nothing.
	patience time.Duration
	// flush is how long the end may take.
	flush time.Duration
}

var usual = pace{least: time.Second, most: time.Minute, settle: 5 * time.Second, patience: 30 * time.Second, flush: 5 * time.Second}

// Sender sends the records of a trail.
type Sender struct {
	pace     pace
	stopping chan struct{}
	abandon  context.CancelFunc
	done     chan struct{}
}

// Start sends the records of a trail to each destination until it is stopped. dir is
// the trail's folder. A destination that was never there begins with the first
// record of this opening of the trail.
func Start(trail *audit.Trail, dir string, to ...Destination) (*Sender, error) {
	return start(trail, dir, usual, to...)
}

func start(trail *audit.Trail, dir string, p pace, to ...Destination) (*Sender, error) {
	s := &Sender{pace: p, stopping: make(chan struct{}), done: make(chan struct{})}
	var couriers []*courier
	for _, d := range to {
		place, err := openPosition(dir, d.String(), trail.Began())
		if err != nil {
			return nil, fmt.Errorf("send to %s: %w", d, err)
		}
		couriers = append(couriers, &courier{to: d, trail: trail, place: place, pace: p, stopping: s.stopping})
	}
	ctx, abandon := context.WithCancel(context.Background())
	s.abandon = abandon
	var all sync.WaitGroup
	for _, c := range couriers {
		all.Go(func() { c.run(ctx) })
	}
	go func() {
		all.Wait()
		close(s.done)
	}()
	return s, nil
}

// Stop sends what is there and ends, in a few seconds at most; what was not sent
// then is sent after the next start. The trail must be open still. A standard output
// that nobody reads keeps its courier until the process ends.
func (s *Sender) Stop() {
	close(s.stopping)
	s.wait(s.pace.flush)
	s.abandon()
	s.wait(time.Second)
}

func (s *Sender) wait(most time.Duration) {
	select {
	case <-s.done:
	case <-time.After(most):
	}
}
