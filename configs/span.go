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
	if _, number := n.(*ast.IntegerNode); number {
		s.fault(markOf(n), remedy, "%s: %s has no unit", key, shown(n))
		return 0, false
	}
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

// maxDrain is longer than any host waits for its end.
const maxDrain = day

// drain reads how long sessions may go on when the gateway is told to stop.
func (g *gatewayFile) drain(n ast.Node) {
	const remedy = "write a number of seconds, minutes or hours, such as 30s, 10m or 1h, or 0s to end them at once"
	if text, ok := n.(*ast.StringNode); ok && text.Value == "0s" {
		g.config.Drain = 0
		return
	}
	t, ok := g.span(n, "drain", "smh", remedy)
	switch {
	case !ok:
	case t > maxDrain:
		g.fault(markOf(n), "write 24h or less", "drain: %s is too long", shown(n))
	default:
		g.config.Drain = t
	}
}

// expect reads how long the client may be without a backup.
func (c *clientFile) expect(n ast.Node) {
	if t, ok := c.span(n, "expect", "hdw", "write a number of hours, days or weeks, such as 26h, 2d or 1w"); ok {
		c.client.Expect = t
	}
}
