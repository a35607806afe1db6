package configs

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"postern/registry"
)

const clientSuffix = ".yaml"

// clientName is what names a client: it is a file name on every system, a word
// in every shell, and reads the same in every log.
var clientName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

const clientNameRemedy = "use another: up to 64 of a-z, 0-9, \".\", \"_\" and \"-\", a letter or digit first"

// host is what a client's file is judged against.
type host struct {
	zone *time.Location
	// borg2 says that a borg 2 is configured.
	borg2     bool
	users     users
	protected *protected
}

// clientFile is one client's file as it is read.
type clientFile struct {
	*source
	host   host
	client *registry.Client
	// keysAt and principalsAt are where the client's keys and principals are.
	keysAt, principalsAt []mark
	// paths are the folders that were named already, by tool.
	paths map[string]mark
}

// readClient reads the file of one client. The result is only whole where there
// was nothing to complain about.
func readClient(s *source, h host) *clientFile {
	c := &clientFile{source: s, host: h, paths: map[string]mark{}}
	c.client = &registry.Client{Name: nameOf(s.name), Where: s.name}
	if !clientName.MatchString(c.client.Name) {
		s.fault(mark{}, clientNameRemedy,
			"%q is not the name of a client", c.client.Name)
	}
	root := s.parse()
	if root == nil {
		return c
	}
	s.mapping(root, fields{
		"keys":       c.keys,
		"principals": c.principals,
		"login":      c.login,
		"from":       c.from,
		"expires":    c.expires,
		"expect":     c.expect,
		"disabled":   func(n ast.Node) { s.yes(n, "disabled", &c.client.Disabled) },
		"limits":     c.limits,
		"allow":      c.allow,
	}, map[string]string{
		"rsync":      "put it under allow, as an item: - rsync: PATH",
		"borg":       "put it under allow, as an item: - borg: PATH",
		"run_as":     "put it into each rule that it is for, under allow",
		"min_free":   "put it into each rule that it is for, under allow",
		"quota":      "put it into each rule that it is for, under allow",
		"max_files":  "put it into each rule that it is for, under allow",
		"one_writer": "put it into each rule that it is for, under allow",
		"wait":       "put it into each rule that it is for, under allow",
	})
	if !has(root, "keys") && !has(root, "principals") {
		s.fault(mark{}, "add keys or principals; to shut a client out, write disabled: true",
			"the client has neither \"keys\" nor \"principals\"")
	}
	return c
}

// nameOf is the name of the client whose file is at the path.
func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), clientSuffix) }

// settle lets go of what is of use only while the file is read, and of its text: there
// may be a hundred thousand of them.
func (c *clientFile) settle() { c.paths, c.host, c.text = nil, host{}, "" }

// recall has the file complain to the report, and show its text again.
func (c *clientFile) recall(r *report) {
	c.report = r
	if c.text != "" {
		return
	}
	if data, _, ok := readFile(c.name, new(report)); ok {
		if s, ok := newSource(c.name, data, new(report)); ok {
			c.text = s.text
		}
	}
}

func (c *clientFile) keys(n ast.Node) {
	for _, item := range c.list(n, "keys", "write one, or remove the key; to shut a client out, write disabled: true") {
		line, ok := c.keyLine(item)
		if !ok {
			continue
		}
		key, faults := parseKey(line)
		for _, f := range faults {
			c.fault(markOf(item), f.remedy, "%s", f.message)
		}
		if len(faults) == 0 {
			c.client.Keys = append(c.client.Keys, key)
			c.keysAt = append(c.keysAt, markOf(item))
		}
	}
}

// keyLine returns the item as the line of a key. One with a comment such as
// "Ann: laptop" is a mapping to YAML, so that is said better.
func (c *clientFile) keyLine(n ast.Node) (string, bool) {
	if _, ok := n.(*ast.MappingNode); ok {
		c.fault(markOf(n), "put the whole line in single quotes", "key must be text, not a mapping")
		return "", false
	}
	line, ok := c.plain(n, "key")
	line = strings.TrimSpace(line)
	if message, remedy := badText(line); ok && message != "" {
		c.fault(markOf(n), remedy, "key %s", message)
		return "", false
	}
	return line, ok
}

func (c *clientFile) principals(n ast.Node) {
	c.words(n, "principals", "write one, or remove the key", func(at mark, name string) {
		if message, remedy := badName(name); message != "" {
			c.fault(at, remedy, "principals: %s", message)
			return
		}
		c.client.Principals = append(c.client.Principals, name)
		c.principalsAt = append(c.principalsAt, at)
	})
}

func (c *clientFile) login(n ast.Node) {
	name, ok := c.word(n, "login")
	if !ok {
		return
	}
	if message, remedy := badName(name); message != "" {
		c.fault(markOf(n), remedy, "login: %s", message)
	}
	c.client.Login = name
}

func (c *clientFile) from(n ast.Node) {
	const ifEmpty = "write one, or remove the key to allow every address; to shut a client out, write disabled: true"
	c.words(n, "from", ifEmpty, func(at mark, text string) {
		network, message, remedy := parseNetwork(text)
		if message != "" {
			c.fault(at, remedy, "from: %q %s", text, message)
			return
		}
		c.client.From = append(c.client.From, network)
	})
}

func (c *clientFile) expires(n ast.Node) {
	if i, ok := n.(*ast.IntegerNode); ok {
		text := i.GetToken().Value
		c.fault(markOf(n), expiryRemedy(text), "expires: %q is neither a day nor an instant", text)
		return
	}
	text, ok := c.word(n, "expires")
	if !ok {
		return
	}
	instant, message, remedy := parseExpiry(text, c.host.zone)
	if message != "" {
		c.fault(markOf(n), remedy, "expires: %q %s", text, message)
	}
	c.client.Expires = instant
}

func (c *clientFile) allow(n ast.Node) {
	for i, item := range c.list(n, "allow", "") {
		m, ok := c.child(item, fmt.Sprintf("rule %d of allow", i+1))
		if ok {
			c.rule(m)
		}
	}
}
