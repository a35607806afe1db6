package configs

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Door is which connections are served before anybody has proved who they are.
type Door struct {
	// Start, Rate and Full are as in MaxStartups of sshd.
	Start, Rate, Full int
	// PerSource bounds the connections of one source, which so many bits of an
	// address make.
	PerSource, IPv4Bits, IPv6Bits int
	Penalties                     Penalties
}

// Penalties are how long each failure of a source keeps it outside, as in
// PerSourcePenalties of sshd.
type Penalties struct {
	Crash, AuthFail, NoAuth, GraceExceeded, RefuseConnection time.Duration
	Min, Max                                                 time.Duration
	MaxSources                                               int
	Exempt                                                   []netip.Prefix
}

func defaultDoor() Door {
	return Door{
		// A whole office may begin at one hour.
		Start: 100, Rate: 30, Full: 300, PerSource: 40, IPv4Bits: 32, IPv6Bits: 64,
		Penalties: Penalties{ // those of sshd
			Crash: 90 * time.Second, AuthFail: 5 * time.Second, NoAuth: time.Second,
			GraceExceeded: 10 * time.Second, RefuseConnection: 10 * time.Second,
			Min: 15 * time.Second, Max: 10 * time.Minute, MaxSources: 65536,
		},
	}
}

const (
	// maxStartups is more than a process has descriptors.
	maxStartups = 1 << 20
	// leastSources and mostSources are 100 KiB and 100 MiB of memory.
	leastSources = 1000
	mostSources  = 1_000_000
	// maxPenalty keeps a mistake from shutting somebody out for good.
	maxPenalty = 7 * day
)

func (g *gatewayFile) connection(n ast.Node) {
	m, ok := g.child(n, "connection")
	if !ok {
		return
	}
	door := &g.config.Door
	g.mapping(m, fields{
		"sessions":            g.numberTo(&g.config.SessionsPerConnection, "connection.sessions", 1, maxSessions),
		"startups":            g.startups,
		"startups_per_source": g.numberTo(&door.PerSource, "connection.startups_per_source", 1, maxStartups),
		"source_bits": func(n ast.Node) {
			if m, ok := g.child(n, "connection.source_bits"); ok {
				g.mapping(m, fields{
					"ipv4": g.numberTo(&door.IPv4Bits, "connection.source_bits.ipv4", 8, 32),
					"ipv6": g.numberTo(&door.IPv6Bits, "connection.source_bits.ipv6", 32, 128),
				}, nil)
			}
		},
		"penalties": g.penalties,
		"idle":      func(n ast.Node) { g.idle(n, "connection.idle", &g.config.Idle) },
		"proxies":   g.proxies,
	}, map[string]string{
		"proxy_protocol":  "name the proxies that send PROXY headers: proxies: [ADDRESS]",
		"trusted_proxies": "name the proxies that send PROXY headers: proxies: [ADDRESS]",
	})
}

// numberTo reads a number into to.
func (g *gatewayFile) numberTo(to *int, key string, least, most int) func(ast.Node) {
	return func(n ast.Node) {
		if v, ok := g.number(n, key, least, most); ok {
			*to = v
		}
	}
}

var startupsForm = regexp.MustCompile(`^([1-9][0-9]{0,6}):([1-9][0-9]{0,2}):([1-9][0-9]{0,6})$`)

func (g *gatewayFile) startups(n ast.Node) {
	const remedy = `write "START:RATE:FULL", such as "100:30:300": from START connections on RATE percent are refused, from FULL on all`
	text, ok := g.word(n, "connection.startups")
	if !ok {
		return
	}
	parts := startupsForm.FindStringSubmatch(text)
	if parts == nil {
		g.fault(markOf(n), remedy, "connection.startups: %q is not START:RATE:FULL", text)
		return
	}
	var v [3]int
	for i := range v {
		v[i], _ = strconv.Atoi(parts[i+1]) // it has at most seven digits
	}
	if v[1] > 100 || v[2] < v[0] || v[2] > maxStartups {
		g.fault(markOf(n), remedy, "connection.startups: %q has a rate above 100, or a full that is below start or above %d", text, maxStartups)
		return
	}
	g.config.Door.Start, g.config.Door.Rate, g.config.Door.Full = v[0], v[1], v[2]
}

func (g *gatewayFile) penalties(n ast.Node) {
	m, ok := g.child(n, "connection.penalties")
	if !ok {
		return
	}
	p := &g.config.Door.Penalties
	known := fields{
		"max_sources": g.numberTo(&p.MaxSources, "connection.penalties.max_sources", leastSources, mostSources),
		"exempt":      g.networksTo(&p.Exempt, "connection.penalties.exempt"),
	}
	for key, to := range map[string]*time.Duration{
		"crash": &p.Crash, "authfail": &p.AuthFail, "noauth": &p.NoAuth, "grace_exceeded": &p.GraceExceeded,
		"refuseconnection": &p.RefuseConnection, "min": &p.Min, "max": &p.Max,
	} {
		known[key] = func(n ast.Node) { g.penalty(n, "connection.penalties."+key, to) }
	}
	g.mapping(m, known, nil)
	if p.Max < p.Min {
		g.fault(markOf(n), "make max the larger one", "connection.penalties: max is less than min")
	}
}

func (g *gatewayFile) penalty(n ast.Node, key string, to *time.Duration) {
	t, ok := g.span(n, key, "smhd", "write a number of seconds, minutes, hours or days, such as 90s, 10m, 1h or 1d")
	switch {
	case !ok:
	case t > maxPenalty:
		g.fault(markOf(n), "write 7d or less", "%s: %s is too long", key, shown(n))
	default:
		*to = t
	}
}

// networksTo reads a list of networks into to.
func (g *gatewayFile) networksTo(to *[]netip.Prefix, key string) func(ast.Node) {
	return func(n ast.Node) {
		g.words(n, key, "", func(at mark, text string) {
			network, fault, remedy := parseNetwork(text)
			if fault == "" && slices.Contains(*to, network) {
				fault, remedy = "occurs twice", "remove one"
			}
			if fault != "" {
				g.fault(at, remedy, "%s: %q %s", key, text, fault)
				return
			}
			*to = append(*to, network)
		})
	}
}

// proxies reads whom to believe where connections come from. Everybody would be
// nobody: all could say what they like.
func (g *gatewayFile) proxies(n ast.Node) {
	const key = "connection.proxies"
	g.networksTo(&g.config.Proxies, key)(n)
	if slices.ContainsFunc(g.config.Proxies, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		g.fault(markOf(n), "name the addresses of the proxies", "%s: it names everybody, who could then come from wherever they like", key)
	}
}
