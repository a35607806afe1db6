package configs

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Audit is what the trail records, how long that is kept, which is until one of the
// limits is reached, and where it is sent beside that.
type Audit struct {
	// Files is which files of a session get records: all, changes or summary.
	Files string
	Keep  time.Duration
	// Size is in bytes on the disk; zero is no limit.
	Size int64
	Send []Destination
}

// Which files of a session get records.
const (
	filesAll     = "all"
	filesChanges = "changes"
	filesSummary = "summary"
)

const (
	// defaultKeep is a year, and time to look at it.
	defaultKeep = 400 * day
	// leastKeepSize is enough for a few days of a small office.
	leastKeepSize = 10 << 20
)

func (g *gatewayFile) audit(n ast.Node) {
	m, ok := g.child(n, "audit")
	if !ok {
		return
	}
	g.mapping(m, fields{
		"files": func(n ast.Node) {
			if files, ok := g.choice(n, "audit.files", []string{filesAll, filesChanges, filesSummary}); ok {
				g.config.Audit.Files = files
			}
		},
		"keep": func(n ast.Node) {
			if m, ok := g.child(n, "audit.keep"); ok {
				g.mapping(m, fields{"time": g.keepTime, "size": g.keepSize}, nil)
			}
		},
		"send": g.send,
	}, nil)
}

func (g *gatewayFile) keepTime(n ast.Node) {
	if t, ok := g.span(n, "audit.keep.time", "dwy", "write a number of days, weeks or years, such as 90d, 12w or 2y"); ok {
		g.config.Audit.Keep = t
	}
}

func (g *gatewayFile) keepSize(n ast.Node) {
	bytes, ok := g.size(n, "audit.keep.size")
	switch {
	case !ok:
	case bytes < leastKeepSize:
		g.fault(markOf(n), "write 10MiB or more, or leave the key out", "audit.keep.size: %s is less than a few days of records", shown(n))
	default:
		g.config.Audit.Size = bytes
	}
}
