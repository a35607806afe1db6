package registry

import (
	"slices"
	"strings"
	"time"
)

const (
	dayMinutes = 24 * 60
	// WeekMinutes is how many minutes a week has on a clock that nobody changes.
	WeekMinutes = 7 * dayMinutes
)

// Hours are times of the week by the wall clock of a time zone: where the clock is
// put forward, what lies in between is left out, and where it is put back, it comes
// twice. The zero value is always. It never changes.
type Hours struct {
	zone  *time.Location
	spans []Span
}

// Span is a time of the day on some days of the week.
type Span struct {
	// Days are those on which it begins, by [time.Weekday].
	Days [7]bool
	// From and To are in minutes since midnight, To behind the last one. Where To is
	// not above From, it ends on the day after.
	From, To int
	// Text is how the file spells it.
	Text string
}

// HoursOf returns the hours of the spans, by the clock of the zone.
func HoursOf(zone *time.Location, spans ...Span) Hours {
	return Hours{zone: zone, spans: slices.Clone(spans)}
}

// Always reports whether there are no hours to keep to.
func (h Hours) Always() bool { return len(h.spans) == 0 }

// Texts returns the spans as the file spells them.
func (h Hours) Texts() []string {
	var texts []string
	for _, s := range h.spans {
		texts = append(texts, s.Text)
	}
	return texts
}

// String returns the hours for a message.
func (h Hours) String() string {
	if h.Always() {
		return "always"
	}
	return strings.Join(h.Texts(), ", ")
}

// Open reports whether the instant is within the hours.
func (h Hours) Open(at time.Time) bool {
	if h.Always() {
		return true
	}
	at = at.In(h.zone)
	minute := int(at.Weekday())*dayMinutes + at.Hour()*60 + at.Minute()
	return slices.ContainsFunc(h.spans, func(s Span) bool { return s.Covers(minute) })
}

// Covers reports whether the span holds a minute of the week, which begins on Sunday
// at midnight.
func (s Span) Covers(minute int) bool {
	day, clock := minute/dayMinutes, minute%dayMinutes
	if s.From < s.To {
		return s.Days[day] && s.From <= clock && clock < s.To
	}
	yesterday := (day + 6) % 7
	return s.Days[day] && s.From <= clock || s.Days[yesterday] && clock < s.To
}

// turnLimit is how far Turn looks: a span of one night may be left out once, where
// the clock is put forward.
const turnLimit = 15 * 24 * time.Hour

// Turn returns when the hours are next over, for an instant that is within them, or
// else when they begin, in their time zone. There is none where they are never over.
func (h Hours) Turn(at time.Time) (time.Time, bool) {
	if h.Always() {
		return time.Time{}, false
	}
	// Minute by minute, since nothing else asks the zone about its changes.
	open := h.Open(at)
	first := at.Truncate(time.Minute)
	for t := first.Add(time.Minute); t.Sub(first) < turnLimit; t = t.Add(time.Minute) {
		if h.Open(t) != open {
			return t.In(h.zone), true
		}
	}
	return time.Time{}, false
}
