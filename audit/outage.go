package audit

import (
	"time"

	"github.com/rs/zerolog"
)

// outage is a time in which the trail cannot be written, as with a full disk.
// The trail's lock guards it.
type outage struct {
	since time.Time
	cause error
	// failed is how many records could not be written, and owed are those of
	// them that end what had begun: they come when there is room again. Nothing
	// begins meanwhile, so there are not more of them than that.
	failed int
	owed   []entry
}

// entry is a record that is to be written.
type entry struct {
	level  zerolog.Level
	event  string
	care   care
	fields func(*zerolog.Event)
}

// missed notes a record that could not be written. Of the first one in an outage
// the operator learns at once, where copies of the records go: the trail cannot
// say it.
func (t *Trail) missed(r entry, cause error) {
	o := &t.outage
	if o.failed++; o.failed == 1 {
		o.since, o.cause = t.now(), cause
		if t.prints != nil {
			_ = t.print(t.build(zerolog.ErrorLevel, "trail failed", nil, func(e *zerolog.Event) {
				e.Str("error", cause.Error())
			}))
		}
	}
	if r.care == closing {
		o.owed = append(o.owed, r)
	}
}

// resume records that an outage is over, and what it owes.
func (t *Trail) resume() error {
	o := &t.outage
	if o.failed == 0 {
		return nil
	}
	err := t.chain(entry{zerolog.WarnLevel, "trail resumed", loose, func(e *zerolog.Event) {
		e.Str("since", o.since.UTC().Format(timeFormat)).Int("failed", o.failed).Str("error", o.cause.Error())
	}})
	if err != nil {
		return err
	}
	owed := o.owed
	t.outage = outage{}
	for _, r := range owed {
		if err := t.chain(r); err != nil {
			t.missed(r, err)
		}
	}
	return nil
}
