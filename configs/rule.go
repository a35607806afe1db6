package configs

import (
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"postern/policy"
)

// borgLeastQuota is the smallest quota that borg starts with.
const borgLeastQuota = 10_000_000

const limitsRemedy = "write it beside allow, as a key of the client: it holds for all of its rules"

// rule reads one item of allow.
func (c *clientFile) rule(m *ast.MappingNode) {
	at := markOf(m)
	switch rsync, borg := has(m, string(policy.Rsync)), has(m, string(policy.Borg)); {
	case rsync && borg:
		c.fault(at, "make two rules of it, each an item of its own", "a rule cannot be about rsync and borg")
	case rsync:
		c.rsyncRule(m, at)
	case borg:
		c.borgRule(m, at)
	default:
		c.fault(at, "begin the item with rsync: PATH or borg: PATH", "the rule names neither \"rsync\" nor \"borg\"")
	}
}

func (c *clientFile) rsyncRule(m *ast.MappingNode, at mark) {
	r := policy.Rule{
		Tool: policy.Rsync, Access: policy.ReadWrite, Delete: true, Overwrite: true, Where: c.where(at),
	}
	known := c.common(&r)
	known["delete"] = func(n ast.Node) { c.yes(n, "delete", &r.Delete) }
	known["overwrite"] = func(n ast.Node) { c.yes(n, "overwrite", &r.Overwrite) }
	known["rooted"] = func(n ast.Node) { c.yes(n, "rooted", &r.Rooted) }
	known["munge_links"] = func(n ast.Node) { c.yes(n, "munge_links", &r.MungeLinks) }
	known["quota"] = func(n ast.Node) { c.rsyncQuota(n, &r.Quota) }
	known["max_files"] = func(n ast.Node) { c.maxEntries(n, &r.MaxFiles) }
	c.mapping(m, known, map[string]string{
		"limits":      limitsRemedy,
		"append_only": "remove it: it is for borg rules; delete: false and overwrite: false do that for rsync",
	})
	c.client.Rules = append(c.client.Rules, r)
}

func (c *clientFile) borgRule(m *ast.MappingNode, at mark) {
	r := policy.Rule{Tool: policy.Borg, Access: policy.ReadWrite, Where: c.where(at)}
	known := c.common(&r)
	known["append_only"] = func(n ast.Node) { c.yes(n, "append_only", &r.AppendOnly) }
	known["quota"] = func(n ast.Node) { c.borgQuota(n, &r.Quota) }
	c.mapping(m, known, map[string]string{
		"limits":      limitsRemedy,
		"delete":      "remove it: it is for rsync rules; append_only: true does that for borg",
		"overwrite":   "remove it: it is for rsync rules; append_only: true does that for borg",
		"rooted":      "remove it: it is for rsync rules",
		"munge_links": "remove it: it is for rsync rules",
		"max_files":   "remove it: it is for rsync rules; quota bounds what a repository holds",
	})
	c.client.Rules = append(c.client.Rules, r)
}

// common returns the fields of every rule.
func (c *clientFile) common(r *policy.Rule) fields {
	return fields{
		string(r.Tool): func(n ast.Node) { c.path(n, r) },
		"access":       func(n ast.Node) { c.access(n, r) },
		"run_as":       func(n ast.Node) { c.runAs(n, &r.RunAs) },
		"min_free":     func(n ast.Node) { c.minFree(n, &r.MinFree) },
		"one_writer":   func(n ast.Node) { c.yes(n, "one_writer", &r.OneWriter) },
		"wait":         func(n ast.Node) { c.wait(n, &r.Wait) },
	}
}

func (c *clientFile) path(n ast.Node, r *policy.Rule) {
	path, ok := c.word(n, string(r.Tool))
	if !ok {
		return
	}
	if message, remedy := badPath(path); message != "" {
		c.fault(markOf(n), remedy, "%s: %s", r.Tool, message)
		return
	}
	if f, bad := c.host.protected.badFolder(path); bad {
		c.fault(markOf(n), f.remedy, "%s: %s", r.Tool, f.message)
	}
	id := string(r.Tool) + " " + c.host.protected.same(path)
	if first, twice := c.paths[id]; twice {
		c.fault(markOf(n), "make one rule of the two", "%s: line %d has a rule about the same folder", r.Tool, first.line)
	} else {
		c.paths[id] = markOf(n)
	}
	r.Path = path
}

// access reads the direction of a rule. Borg 1 has no other than read-write: it
// writes its locks into a repository that it reads, and reads what it adds to.
func (c *clientFile) access(n ast.Node, r *policy.Rule) {
	modes := []policy.Access{policy.ReadOnly, policy.WriteOnly, policy.ReadWrite}
	words := make([]string, len(modes))
	for i, mode := range modes {
		words[i] = mode.String()
	}
	mode, ok := c.choice(n, "access", words)
	if !ok {
		return
	}
	r.Access = modes[slices.Index(words, mode)]
	if r.Tool == policy.Borg && r.Access != policy.ReadWrite && !c.host.borg2 {
		c.fault(markOf(n), "remove it (append_only: true protects what is there), or configure a borg 2 as programs.borg2",
			"access: borg 1 cannot be %s: it writes locks even to read, and reads to add", mode)
	}
}

func (c *clientFile) borgQuota(n ast.Node, to *policy.Limit) {
	bytes, ok := c.size(n, "quota")
	switch {
	case !ok:
	case bytes < borgLeastQuota:
		c.fault(markOf(n), "write 10MB or more, or leave the key out where there is no limit",
			"quota: borg takes none below 10MB, and %s is", shown(n))
	default:
		*to = policy.LimitOf(bytes)
	}
}

func (c *clientFile) rsyncQuota(n ast.Node, to *policy.Limit) {
	c.someSize(n, "quota", "write how much the folder may hold, or access: read-only to let nothing in", to)
}

// someSize reads a size that cannot be nothing.
func (c *clientFile) someSize(n ast.Node, key, remedy string, to *policy.Limit) {
	bytes, ok := c.size(n, key)
	switch {
	case !ok:
	case bytes == 0:
		c.fault(markOf(n), remedy, "%s: %s is nothing", key, shown(n))
	default:
		*to = policy.LimitOf(bytes)
	}
}

// mostEntries is more than the file systems of Linux hold.
const mostEntries = 1 << 40

func (c *clientFile) maxEntries(n ast.Node, to *policy.Limit) {
	if files, ok := c.number(n, "max_files", 1, mostEntries); ok {
		*to = policy.LimitOf(int64(files))
	}
}

// longestWait is how long a client may be kept waiting at most.
const longestWait = 24 * time.Hour

// wait reads how long a session waits for another. Nothing at all is a time here.
func (c *clientFile) wait(n ast.Node, to *policy.Limit) {
	const remedy = "write seconds, minutes or hours up to 24h, such as 30m, or 0s to refuse at once"
	if text, ok := n.(*ast.StringNode); ok && text.Value == "0s" {
		*to = policy.LimitOf(0)
		return
	}
	t, ok := c.span(n, "wait", "smh", remedy)
	switch {
	case !ok:
	case t > longestWait:
		c.fault(markOf(n), remedy, "wait: %s is longer than 24h", shown(n))
	default:
		*to = policy.LimitOf(int64(t / time.Second))
	}
}

func (c *clientFile) minFree(n ast.Node, to *policy.Limit) {
	c.someSize(n, "min_free", "write how much must be free, or remove the line", to)
}
