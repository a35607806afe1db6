package configs

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// The levels of confinement by their words alone: what they mean, and whether
// this host gives them, is not for files to say.
const (
	levelNone       = "none"
	levelLandlock   = "landlock"
	levelNamespaces = "namespaces"
	levelFull       = "full"
)

// Sandbox is how the kernel must hold the children. "" stands for a key that is
// absent.
type Sandbox struct {
	// Require is the least level that is acceptable: none, landlock,
	// namespaces or full. "" is the strongest that the host gives, and never
	// none. Where the file has only a Most below full, it is that.
	Require string
	// Most is the level that is asked for at most; "" is full. It includes
	// Require.
	Most string
	// AcceptUnconfined lets an rsync with known holes run at level none. Only
	// where Require is none.
	AcceptUnconfined bool
}

// includes reports whether a level has every means that another one has.
// Landlock and namespaces stop different things, so neither includes the other.
func includes(level, other string) bool {
	return level == levelFull || other == levelNone || level == other
}

func (g *gatewayFile) sandbox(n ast.Node) {
	m, ok := g.child(n, "sandbox")
	if !ok {
		return
	}
	var mostAt, acceptAt mark
	s, before := &g.config.Sandbox, g.found
	g.mapping(m, fields{
		"require": func(n ast.Node) { g.level(n, "sandbox.require", &s.Require) },
		"most": func(n ast.Node) {
			mostAt = markOf(n)
			g.level(n, "sandbox.most", &s.Most)
		},
		"i_accept_unconfined": func(n ast.Node) {
			acceptAt = markOf(n)
			g.yes(n, "sandbox.i_accept_unconfined", &s.AcceptUnconfined)
		},
	}, nil)
	if g.found > before {
		return // what was not understood cannot be compared
	}
	if f, bad := s.badMost(); bad {
		g.fault(mostAt, f.remedy, "%s", f.message)
	}
	if s.AcceptUnconfined && s.Require != levelNone {
		g.fault(acceptAt, "remove it, or write require: none", "sandbox.i_accept_unconfined is for require: none alone")
	}
	if s.Require == "" && s.Most != levelFull {
		s.Require = s.Most
	}
}

func (g *gatewayFile) level(n ast.Node, key string, to *string) {
	*to, _ = g.choice(n, key, []string{levelNone, levelLandlock, levelNamespaces, levelFull})
}

// badMost returns what keeps Most from being the most that is asked for.
func (s Sandbox) badMost() (fault, bool) {
	switch {
	case s.Most == "":
		return fault{}, false
	case s.Most == levelNone && s.Require != levelNone:
		return faultf("write require: none too, or remove most", "sandbox.most is none, which sandbox.require must ask for by name"), true
	case s.Require != "" && !includes(s.Most, s.Require):
		return faultf(fmt.Sprintf("write require: %s too, or remove most", s.Most),
			"sandbox.most is %s, which does not include what sandbox.require asks for, %s", s.Most, s.Require), true
	}
	return fault{}, false
}
