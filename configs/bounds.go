package configs

import (
	"regexp"
	"time"

	"github.com/goccy/go-yaml/ast"

	"postern/policy"
)

const (
	// mostAtOnce is more connections or sessions than one client can have a use for;
	// each session is two processes or three.
	mostAtOnce = 1000
	// leastRate lets a client say who it is and begin in some seconds.
	leastRate = 16 << 10
	// leastSessionTime is too short for a backup, but not for a mistake in the unit.
	leastSessionTime = time.Minute
	// leastIdle leaves room for an answer to get lost on its way, and mostIdle is
	// longer than any line is down that comes back.
	leastIdle, mostIdle = 10 * time.Second, day
)

// bounds are the fields of limits that are about all of the client's sessions
// together.
func (c *clientFile) bounds() fields {
	b := &c.client.Bounds
	return fields{
		"connections":  c.atOnce("limits.connections", &b.Connections),
		"sessions":     c.atOnce("limits.sessions", &b.Sessions),
		"bandwidth":    c.bandwidth,
		"hours":        c.hours,
		"after_hours":  c.afterHours,
		"session_time": c.sessionTime,
		"idle":         func(n ast.Node) { c.idle(n, "limits.idle", &b.Idle) },
	}
}

func (c *clientFile) atOnce(key string, to *policy.Limit) func(ast.Node) {
	return func(n ast.Node) {
		if most, ok := c.number(n, key, 1, mostAtOnce); ok {
			*to = policy.LimitOf(int64(most))
		}
	}
}

// bandwidth reads one rate for both ways, or one for each.
func (c *clientFile) bandwidth(n ast.Node) {
	b := &c.client.Bounds
	m, each := n.(*ast.MappingNode)
	if !each {
		if c.rate(n, "limits.bandwidth", &b.In) {
			b.Out = b.In
		}
		return
	}
	if len(m.Values) == 0 {
		c.fault(markOf(n), "write in, out or both, or remove the key", "limits.bandwidth is empty")
	}
	c.mapping(m, fields{
		"in":  func(n ast.Node) { c.rate(n, "limits.bandwidth.in", &b.In) },
		"out": func(n ast.Node) { c.rate(n, "limits.bandwidth.out", &b.Out) },
	}, nil)
}

const rateExample = "write bytes a second, such as 50MiB/s; 100 Mbit/s are 12.5MB/s"

// rateForm is a size and what it is in.
var rateForm = regexp.MustCompile(`^(.*[^ ]) ?/ ?s$`)

// rate reads a number of bytes a second, or complains.
func (c *clientFile) rate(n ast.Node, key string, to *policy.Limit) bool {
	text, ok := n.(*ast.StringNode)
	if !ok {
		c.fault(markOf(n), rateExample, "%s must be a rate, not %s", key, kindOf(n))
		return false
	}
	parts := rateForm.FindStringSubmatch(text.Value)
	if parts == nil {
		c.fault(markOf(n), rateExample, "%s: %q is not a rate", key, text.Value)
		return false
	}
	bytes, message, _ := parseSize(parts[1])
	switch {
	case message != "":
		c.fault(markOf(n), rateExample, "%s: %q is not a rate", key, text.Value)
		return false
	case bytes < leastRate:
		c.fault(markOf(n), "write 16KiB/s or more, or leave the key out where there is no limit",
			"%s: nothing gets done below 16KiB/s, and %q is", key, text.Value)
		return false
	}
	*to = policy.LimitOf(bytes)
	return true
}

func (c *clientFile) afterHours(n ast.Node) {
	if what, ok := c.choice(n, "limits.after_hours", []string{"finish", "end"}); ok {
		c.client.Bounds.EndAfterHours = what == "end"
	}
}

func (c *clientFile) sessionTime(n ast.Node) {
	t, ok := c.span(n, "limits.session_time", "smhdw", "write a number of minutes, hours or days, such as 90m, 12h or 2d")
	switch {
	case !ok:
	case t < leastSessionTime:
		c.fault(markOf(n), "write 1m or more, or leave the key out where there is no limit", "limits.session_time: %s is too short", shown(n))
	default:
		c.client.Bounds.SessionTime = t
	}
}

// idle reads how long a peer may be silent.
func (s *source) idle(n ast.Node, key string, to *time.Duration) {
	t, ok := s.span(n, key, "smhd", "write a number of seconds, minutes or hours, such as 60s, 10m or 2h")
	switch {
	case !ok:
	case t < leastIdle || t > mostIdle:
		s.fault(markOf(n), "write a time from 10s to 1d", "%s cannot be %s", key, shown(n))
	default:
		*to = t
	}
}
