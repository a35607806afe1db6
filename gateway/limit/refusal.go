package limit

import (
	"fmt"
	"time"

	"postern/policy"
	"postern/registry"
)

// The codes of what a limit refuses or ends.
const (
	CodeConnections = "limit-connections"
	CodeSessions    = "limit-sessions"
	CodeHours       = "limit-hours"
	CodeSessionTime = "limit-session-time"
)

func tooManyConnections(client string, has int, most int64) *registry.Denial {
	return &registry.Denial{
		Code:    CodeConnections,
		Message: fmt.Sprintf("client %q has %s already, which %s its limit (limits.connections: %d)", client, count(has, "connection"), at(has, most), most),
		Remedy:  "try again when one has ended",
	}
}

func tooManySessions(client string, runs int, most int64) *policy.Refusal {
	return &policy.Refusal{
		Code: CodeSessions, Status: policy.ExitRefused,
		Message: fmt.Sprintf("client %q runs %s already, which %s its limit (limits.sessions: %d)", client, count(runs, "session"), at(runs, most), most),
		Remedy:  "try again when one has ended",
	}
}

// at says how a number stands to the limit that it reaches: a limit can have been
// lowered since.
func at(has int, most int64) string {
	if int64(has) > most {
		return "is above"
	}
	return "is"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clockForm is how a time is told to a client: that of the gateway, with its zone.
const clockForm = "Mon 2006-01-02 15:04 MST"

// Closed says why no session of a client may begin now; nil where one may.
func Closed(c registry.Client, now time.Time) *policy.Refusal {
	hours := c.Bounds.Hours
	if hours.Open(now) {
		return nil
	}
	r := &policy.Refusal{
		Code: CodeHours, Status: policy.ExitRefused,
		Message: fmt.Sprintf("these are not the hours of client %q (limits.hours: %s)", c.Name, hours),
	}
	if opens, ok := hours.Turn(now); ok {
		r.Remedy = "try again from " + opens.Format(clockForm) + " on"
	}
	return r
}

// Over says why a session of a client that began at a time must end now; nil where it
// may go on.
func Over(c registry.Client, began, now time.Time) *policy.Refusal {
	b := c.Bounds
	switch {
	case b.SessionTime > 0 && now.Sub(began) >= b.SessionTime:
		return &policy.Refusal{
			Code: CodeSessionTime, Status: policy.ExitRefused,
			Message: fmt.Sprintf("the session has run for the time that one of client %q may take (limits.session_time: %s)", c.Name, Span(b.SessionTime)),
			Remedy:  "start it again",
		}
	case b.EndAfterHours:
		return Closed(c, now)
	}
	return nil
}
