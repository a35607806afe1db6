package configs

import (
	"github.com/goccy/go-yaml/ast"

	"postern/policy"
)

const (
	// leastFiles is enough for rsync and borg to begin and end a session.
	leastFiles = 16
	// mostFiles is what Linux lets a process have unless it is told otherwise
	// (fs.nr_open).
	mostFiles = 1 << 20
	// leastMemory is enough for a small session of borg, the larger of the two.
	leastMemory = 128 << 20
)

func (c *clientFile) limits(n ast.Node) {
	m, ok := c.child(n, "limits")
	if !ok {
		return
	}
	known := c.bounds()
	known["files"], known["memory"] = c.maxFiles, c.maxMemory
	c.mapping(m, known, nil)
	if has(m, "after_hours") && !has(m, "hours") {
		c.fault(markOf(m), "add hours, or remove it", "limits.after_hours is about hours, and there are none")
	}
}

func (c *clientFile) maxFiles(n ast.Node) {
	if files, ok := c.number(n, "limits.files", leastFiles, mostFiles); ok {
		c.client.Limits.Files = policy.LimitOf(int64(files))
	}
}

func (c *clientFile) maxMemory(n ast.Node) {
	bytes, ok := c.size(n, "limits.memory")
	switch {
	case !ok:
	case bytes < leastMemory:
		c.fault(markOf(n), "write 128MiB or more, or leave the key out",
			"limits.memory: a session needs 128MiB, and %s is less", shown(n))
	default:
		c.client.Limits.Memory = policy.LimitOf(bytes)
	}
}
