package registry

import (
	"testing"
	"time"
	_ "time/tzdata" // hosts of tests may have none
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func daily(from, to int) Span {
	s := Span{From: from, To: to}
	for i := range s.Days {
		s.Days[i] = true
	}
	return s
}

func on(s Span, days ...time.Weekday) Span {
	s.Days = [7]bool{}
	for _, d := range days {
		s.Days[d] = true
	}
	return s
}

const form = "2006-01-02 15:04:05 -0700"

func TestHours(t *testing.T) {
	night := daily(22*60, 6*60)
	for _, c := range []struct {
		name  string
		spans []Span
		at    string
		open  bool
		turn  string
	}{
		{"always", nil, "2026-11-21 12:00:00 +0100", true, ""},
		{"before the night", []Span{night}, "2026-11-21 21:59:59 +0100", false, "2026-11-21 22:00:00 +0100"},
		{"as it begins", []Span{night}, "2026-11-21 22:00:00 +0100", true, "2026-11-22 06:00:00 +0100"},
		{"behind midnight", []Span{night}, "2026-11-22 05:59:59 +0100", true, "2026-11-22 06:00:00 +0100"},
		{"as it ends", []Span{night}, "2026-11-22 06:00:00 +0100", false, "2026-11-22 22:00:00 +0100"},
		{"by the clock of the gateway", []Span{night}, "2026-11-21 21:30:00 +0000", true, "2026-11-22 06:00:00 +0100"},
		{"the whole day", []Span{daily(0, 24*60)}, "2026-11-21 12:00:00 +0100", true, ""},
		{"to midnight", []Span{on(daily(20*60, 24*60), time.Saturday)}, "2026-11-21 23:59:00 +0100", true, "2026-11-22 00:00:00 +0100"},
		// The night of Friday is that which begins on Friday.
		{"from Friday on", []Span{on(night, time.Friday)}, "2026-11-21 05:00:00 +0100", true, "2026-11-21 06:00:00 +0100"},
		{"into Friday", []Span{on(night, time.Friday)}, "2026-11-20 05:00:00 +0100", false, "2026-11-20 22:00:00 +0100"},
		{"from Saturday into the new week", []Span{on(night, time.Saturday)}, "2026-11-22 05:00:00 +0100", true, "2026-11-22 06:00:00 +0100"},
		{"next week", []Span{on(night, time.Friday)}, "2026-11-21 07:00:00 +0100", false, "2026-11-27 22:00:00 +0100"},
		{"a second one", []Span{night, daily(12*60, 13*60)}, "2026-11-21 11:00:00 +0100", false, "2026-11-21 12:00:00 +0100"},
		// On 29 March the clock goes from 02:00 to 03:00.
		{"an hour that is not", []Span{daily(2*60+15, 2*60+45)}, "2026-03-29 01:59:00 +0100", false, "2026-03-30 02:15:00 +0200"},
		{"into such an hour", []Span{daily(60, 2*60+30)}, "2026-03-29 01:59:00 +0100", true, "2026-03-29 03:00:00 +0200"},
		{"a week without", []Span{on(daily(2*60+15, 2*60+45), time.Sunday)}, "2026-03-22 02:50:00 +0100", false, "2026-04-05 02:15:00 +0200"},
		// On 25 October it goes from 03:00 to 02:00.
		{"an hour that is twice", []Span{daily(2*60+15, 2*60+45)}, "2026-10-25 02:30:00 +0200", true, "2026-10-25 02:45:00 +0200"},
		{"in between", []Span{daily(2*60+15, 2*60+45)}, "2026-10-25 02:50:00 +0200", false, "2026-10-25 02:15:00 +0100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, err := time.Parse(form, c.at)
			if err != nil {
				t.Fatal(err)
			}
			h := HoursOf(berlin(t), c.spans...)
			if open := h.Open(at); open != c.open {
				t.Errorf("open %t", open)
			}
			turn, ok := h.Turn(at)
			if got := turn.Format(form); ok != (c.turn != "") || ok && got != c.turn {
				t.Errorf("turns at %s, %t", got, ok)
			}
		})
	}
}
