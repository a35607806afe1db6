package limit

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"postern/policy"
	"postern/registry"
)

// Terms are the limits in words for a person, none where there is none.
func Terms(b registry.Bounds) []string {
	var terms []string
	for _, most := range []struct {
		limit policy.Limit
		what  string
	}{{b.Connections, "connection"}, {b.Sessions, "session"}} {
		if n, ok := most.limit.Number(); ok {
			terms = append(terms, "at most "+count(int(n), most.what)+" at once")
		}
	}
	terms = append(terms, bandwidth(b.In, b.Out)...)
	if !b.Hours.Always() {
		end := "; what runs then may finish"
		if b.EndAfterHours {
			end = "; what runs then is ended"
		}
		terms = append(terms, "in the hours "+b.Hours.String()+end)
	}
	if b.SessionTime > 0 {
		terms = append(terms, "at most "+Span(b.SessionTime)+" for a session")
	}
	if b.Idle > 0 {
		terms = append(terms, "given up after "+Span(b.Idle)+" without an answer")
	}
	return terms
}

func bandwidth(in, out policy.Limit) []string {
	var terms []string
	inward, hasIn := in.Number()
	outward, hasOut := out.Number()
	if hasIn && in == out {
		return append(terms, "at most "+speed(inward)+" each way")
	}
	if hasIn {
		terms = append(terms, "at most "+speed(inward)+" in")
	}
	if hasOut {
		terms = append(terms, "at most "+speed(outward)+" out")
	}
	return terms
}

func speed(n int64) string { return humanize.IBytes(uint64(n)) + "/s" }

// Span is a time as the client's file spells it.
func Span(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.length && d%unit.length == 0 {
			return fmt.Sprintf("%d%s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
