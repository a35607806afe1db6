package configs

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

const day = 24 * time.Hour

var spanForm = regexp.MustCompile(`^([1-9][0-9]{0,4})([smhdwy])$`)

// span reads how long something lasts, in one of the units, or complains. A year
// is the longest there is.
func (s *source) span(n ast.Node, key, units, remedy string) (time.Duration, bool) {
	text, ok := s.word(n, key)
	if !ok {
		return 0, false
	}
	parts := spanForm.FindStringSubmatch(text)
	if parts == nil || !strings.Contains(units, parts[2]) {
		s.fault(markOf(n), remedy, "%s: %q is no such time", key, text)
		return 0, false
	}
	count, _ := strconv.Atoi(parts[1]) // it has at most five digits
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "y": 366 * day}[parts[2]]
	return time.Duration(count) * unit, true
}

// expect reads how long the client may be without a backup.
func (c *clientFile) expect(n ast.Node) {
	if t, ok := c.span(n, "expect", "hdw", "write a number of hours, days or weeks, such as 26h, 2d or 1w"); ok {
		c.client.Expect = t
	}
}
