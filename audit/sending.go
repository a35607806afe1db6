package audit

import "github.com/rs/zerolog"

// SendingFailed records that a destination cannot be given the records of the trail
// at the moment, and which one it has not got.
func (t *Trail) SendingFailed(destination string, next uint64, why string) error {
	return t.record(zerolog.WarnLevel, "sending failed", loose, func(e *zerolog.Event) {
		e.Str("destination", destination).Uint64("next", next)
		foreign(e, "why", why)
	})
}

// SendingResumed records that a destination that had failed takes records again.
func (t *Trail) SendingResumed(destination string) error {
	return t.record(zerolog.InfoLevel, "sending resumed", loose, func(e *zerolog.Event) {
		e.Str("destination", destination)
	})
}

// SendingSkipped records that a destination does not get some records, from the
// first on: they are no longer kept, or cannot be read.
func (t *Trail) SendingSkipped(destination string, first, records uint64) error {
	return t.record(zerolog.WarnLevel, "sending skipped", loose, func(e *zerolog.Event) {
		e.Str("destination", destination).Uint64("first", first).Uint64("records", records)
	})
}
