package sender

import (
	"context"
	"errors"
	"io"
	"time"

	"postern/audit"
)

// courier brings the records to one destination.
type courier struct {
	to       Destination
	trail    *audit.Trail
	place    *position
	pace     pace
	stopping <-chan struct{}
	// failed says that a record tells of the failure that lasts.
	failed bool
	// skipped is the number up to which records tell what is not sent.
	skipped uint64
}

// run goes there again and again, until it is told to stop and all is sent, or until
// the context is done.
func (c *courier) run(ctx context.Context) {
	wait := c.pace.least
	for {
		steady, err := c.carry(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if steady {
			// It went well until now: a receiver that starts anew, and takes the
			// records again at once, is worth no record.
			wait = c.pace.least
			continue
		}
		c.fail(err)
		select {
		case <-c.stopping:
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, c.pace.most)
	}
}

// fail records a failure once.
func (c *courier) fail(err error) {
	if !c.failed {
		c.failed = c.trail.SendingFailed(c.to.String(), c.place.number+1, err.Error()) == nil
	}
}

// carry opens a way and sends until it is lost, or until all is sent and the courier
// told to stop. It reports whether the way was good for some time.
func (c *courier) carry(ctx context.Context) (steady bool, err error) {
	opening, cancel := context.WithTimeout(ctx, c.pace.patience)
	defer cancel()
	from := c.place.number
	w, err := c.to.open(opening, c.pace, from)
	if err != nil {
		return false, err
	}
	defer w.close()
	defer context.AfterFunc(ctx, w.close)()
	t := &trip{courier: c, way: w, tail: c.trail.Tail(from), sent: from}
	defer t.tail.Close()
	began := time.Now()
	err = t.run(ctx)
	c.place.number = w.ended(err)
	c.place.save()
	took := c.place.number > from || t.sent == from
	return took && time.Since(began) >= c.pace.settle, err
}

// trip is one way to the destination while it lasts.
type trip struct {
	*courier
	way  way
	tail *audit.Tail
	// sent is the last record that was handed over, and all what it was when
	// there were no more of them for the first time.
	sent, all uint64
}

func (t *trip) run(ctx context.Context) error {
	for ctx.Err() == nil {
		grows := t.trail.Grows()
		record, err := t.tail.Next()
		stop := false
		switch {
		case errors.Is(err, io.EOF):
			if t.all == 0 {
				t.all = t.sent
			}
			stop, err = t.rest(grows)
		case err == nil:
			err = t.hand(record)
		}
		if err == nil {
			err = t.look()
		}
		if err != nil {
			return err
		}
		if stop {
			return t.way.finish()
		}
	}
	return ctx.Err()
}

// hand sends a record, and tells of those before it that are not there.
func (t *trip) hand(r audit.Record) error {
	if r.Number > t.sent+1 && r.Number > t.skipped {
		if err := t.trail.SendingSkipped(t.to.String(), t.sent+1, r.Number-t.sent-1); err == nil {
			t.skipped = r.Number
		}
	}
	if err := t.way.send(r); err != nil {
		return err
	}
	t.sent = r.Number
	return nil
}

// rest waits until there is something to do, and reports whether that is to stop. What
// was recorded before is sent before.
func (t *trip) rest(grows <-chan struct{}) (stop bool, err error) {
	var soon <-chan time.Time
	if t.place.saved != t.sent {
		soon = time.After(t.pace.settle / 5)
	}
	select {
	case <-grows:
	case <-soon:
	case err = <-t.way.lost():
	case <-t.stopping:
		select {
		case <-grows:
		default:
			stop = true
		}
	}
	return stop, err
}

// look sees what has arrived, and writes it down now and then.
func (t *trip) look() error {
	number, err := t.way.arrived()
	t.place.number = number
	if t.failed && t.all > 0 && number >= t.all {
		t.failed = t.trail.SendingResumed(t.to.String()) != nil
	}
	if time.Since(t.place.savedAt) >= t.pace.settle {
		t.place.save()
	}
	return err
}
