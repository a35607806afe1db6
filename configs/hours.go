package configs

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"postern/registry"
)

const hoursRemedy = `write "22:00-06:00", or with days "mon-fri 22:00-06:00", by a clock of 24 hours`

// hours reads a time of the day, or a list of them.
func (c *clientFile) hours(n ast.Node) {
	items := []ast.Node{n}
	if _, ok := n.(*ast.SequenceNode); ok {
		items = c.list(n, "limits.hours", "write one, or remove the key; to shut the client out, write disabled: true")
	}
	var spans []registry.Span
	var covered [registry.WeekMinutes]bool
	for _, item := range items {
		text, ok := c.word(item, "limits.hours")
		if !ok {
			continue
		}
		span, message, remedy := parseHours(text)
		if message == "" && !cover(&covered, span) {
			message, remedy = "adds nothing to what stands before it", "remove it"
		}
		if message != "" {
			c.fault(markOf(item), remedy, "limits.hours: %q %s", text, message)
			continue
		}
		spans = append(spans, span)
	}
	c.client.Bounds.Hours = registry.HoursOf(c.host.zone, spans...)
}

// cover notes which minutes of the week a span covers, and reports whether it is the
// first for one of them. More than that is not asked: "mon-fri 22:00-06:00" and
// "sat,sun 00:00-24:00" share a morning, and say what they mean.
func cover(covered *[registry.WeekMinutes]bool, span registry.Span) (adds bool) {
	for minute, before := range covered {
		if span.Covers(minute) && !before {
			covered[minute], adds = true, true
		}
	}
	return adds
}

var hoursForm = regexp.MustCompile(`^(?:([a-z]{3}(?:[,-][a-z]{3})*) )?([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})$`)

// parseHours returns a time of the day, on all days unless some are named.
func parseHours(text string) (span registry.Span, message, remedy string) {
	parts := hoursForm.FindStringSubmatch(strings.ToLower(text))
	if parts == nil {
		return span, "is not a time of the day", hoursRemedy
	}
	from, okFrom := minuteOf(parts[2], parts[3])
	to, okTo := minuteOf(parts[4], parts[5])
	switch {
	case !okFrom || !okTo || from == wholeDay:
		return span, "has a time that is not on the clock", "write times from 00:00 to 23:59, and 24:00 for the end of a day"
	case from == to:
		return span, "ends where it begins", `write "00:00-24:00" for a whole day`
	}
	span = registry.Span{From: from, To: to, Text: text}
	span.Days, message, remedy = parseDays(parts[1])
	return span, message, remedy
}

const wholeDay = 24 * 60

// minuteOf returns the minute of the day.
func minuteOf(hours, minutes string) (int, bool) {
	h, _ := strconv.Atoi(hours) // two digits
	m, _ := strconv.Atoi(minutes)
	return h*60 + m, m < 60 && h*60+m <= wholeDay
}

// parseDays reads days, and ranges of them, such as "mon-fri,sun"; none are all.
func parseDays(text string) (days [7]bool, message, remedy string) {
	if text == "" {
		text = "sun-sat"
	}
	for item := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, to := dayNamed(first), dayNamed(last)
		if from < 0 || to < 0 {
			return days, "names a day that there is not", "write mon, tue, wed, thu, fri, sat or sun, and two with \"-\" for those between them too"
		}
		for d := from; ; d = (d + 1) % 7 {
			if days[d] {
				return days, "names a day twice", "name it once"
			}
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, "", ""
}

// dayNamed returns the day, or -1 where the name is none.
func dayNamed(name string) int {
	return slices.IndexFunc([]time.Weekday{0, 1, 2, 3, 4, 5, 6}, func(d time.Weekday) bool {
		return strings.ToLower(d.String()[:3]) == name
	})
}
