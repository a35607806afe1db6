package configs

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Destination is where records are sent beside the trail: journald, standard output,
// or the syslog server at an address.
type Destination struct {
	// Kind is journald, stdout or syslog. The others are for syslog alone.
	Kind string
	// Address is a host and a port; TLS says that the way there is encrypted.
	Address string
	TLS     bool
	// CA, Certificate and Key are files for TLS, empty where none is named.
	CA, Certificate, Key string
}

// The kinds of destinations.
const (
	Journald = "journald"
	Stdout   = "stdout"
	Syslog   = "syslog"
)

// The ports that RFC 6587 and RFC 5425 give syslog.
const (
	syslogPort    = "601"
	syslogTLSPort = "6514"
)

const syslogExample = "write tcp://HOST:PORT, or tls://HOST:PORT for an encrypted way"

func (g *gatewayFile) send(n ast.Node) {
	for _, item := range g.list(n, "audit.send", "") {
		var d Destination
		var ok bool
		if m, isMap := item.(*ast.MappingNode); isMap {
			d, ok = g.syslog(m)
		} else {
			d.Kind, ok = g.choice(item, "audit.send", []string{Journald, Stdout})
		}
		if !ok {
			continue
		}
		if slices.ContainsFunc(g.config.Audit.Send, d.same) {
			g.fault(markOf(item), "remove one", "audit.send: the same place occurs twice")
		}
		g.config.Audit.Send = append(g.config.Audit.Send, d)
	}
}

// same reports whether two destinations are one place.
func (d Destination) same(e Destination) bool {
	return d.Kind == e.Kind && d.Address == e.Address && d.TLS == e.TLS
}

// syslog reads the item of a syslog server.
func (g *gatewayFile) syslog(m *ast.MappingNode) (Destination, bool) {
	d, before := Destination{Kind: Syslog}, g.found
	known := fields{Syslog: func(n ast.Node) { g.server(n, &d) }}
	for name, to := range map[string]*string{"ca": &d.CA, "certificate": &d.Certificate, "key": &d.Key} {
		known[name] = func(n ast.Node) {
			if path, ok := g.word(n, "audit.send."+name); ok {
				*to = g.absolute(path)
			}
		}
	}
	g.mapping(m, known, nil)
	if g.found > before {
		return d, false
	}
	switch at := markOf(m); {
	case d.Address == "":
		g.fault(at, "begin the item with syslog: tls://HOST:PORT", "the item of audit.send names no \"syslog\"")
	case !d.TLS && d.CA+d.Certificate+d.Key != "":
		g.fault(at, "write tls:// instead of tcp://, or remove them", "audit.send: ca, certificate and key are for tls://")
	case (d.Certificate == "") != (d.Key == ""):
		g.fault(at, "name both, or none", "audit.send: certificate and key belong together")
	}
	return d, g.found == before
}

// server reads the address of a syslog server.
func (g *gatewayFile) server(n ast.Node, d *Destination) {
	text, ok := g.word(n, "audit.send.syslog")
	if !ok {
		return
	}
	address, secure, message := parseServer(text)
	if message != "" {
		g.fault(markOf(n), syslogExample, "audit.send.syslog: %s", message)
	}
	d.Address, d.TLS = address, secure
}

// parseServer returns the host and port of a syslog server, or what keeps the text
// from naming one.
func parseServer(text string) (address string, secure bool, message string) {
	u, err := url.Parse(text)
	if err != nil || !isHost(u.Hostname()) || u.User != nil || strings.TrimPrefix(u.Path, "/")+u.RawQuery+u.Fragment != "" || strings.ContainsAny(u.Host, "% ") {
		return "", false, fmt.Sprintf("%q is no address of a server", text)
	}
	secure = u.Scheme == "tls"
	port := u.Port()
	switch {
	case u.Scheme != "tcp" && !secure:
		return "", false, fmt.Sprintf("%q is no way to a server", u.Scheme+"://")
	case port == "" && secure:
		port = syslogTLSPort
	case port == "":
		port = syslogPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", false, fmt.Sprintf("%q has no port from 1 to 65535", text)
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port), secure, ""
}

// isHost reports whether a text names a host, or is its address.
func isHost(text string) bool {
	_, err := netip.ParseAddr(text)
	return text != "" && (err == nil || !strings.Contains(text, ":"))
}

// files are those that the destination names.
func (d Destination) files() []string {
	return slices.DeleteFunc([]string{d.CA, d.Certificate, d.Key}, func(path string) bool { return path == "" })
}
