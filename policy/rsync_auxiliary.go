package policy

import (
	"fmt"
	"path"
	"strings"
)

// auxiliary resolves the path in an option's value and returns what the child
// is told.
//
// rsync reads these paths from its destination folder, --files-from from its
// working directory. Where the destination is a file, or will be one, its
// folder is the parent: a relative path that climbs means another place then.
// So one that climbs is told as an absolute path, and only one that cannot
// leave the folder stays relative.
func (r *rsyncRequest) auxiliary(g givenOption) (string, *Refusal) {
	p, refusal := r.places.resolve(g.value.text, g.value.tilde, r.base(g))
	if refusal != nil {
		return "", refusal
	}
	if !inside(r.rule.Path, p.real) {
		return "", &Refusal{Code: "path-outside", Status: ExitRefused,
			Message: fmt.Sprintf("%s leads to %q, outside %s", g.spelled, p.real, r.rule.Path),
			Remedy:  "name a path inside " + r.rule.Path}
	}
	if refusal := r.reached(g, p); refusal != nil {
		return "", refusal
	}
	stays := !path.IsAbs(g.value.text) && !p.absolute && !climbs(g.value.text)
	switch {
	case stays:
		return path.Clean(g.value.text), nil
	case g.spelled == "--partial-dir" && !path.IsAbs(g.value.text):
		return "", &Refusal{Code: "path-outside", Status: ExitRefused,
			Message: fmt.Sprintf("--partial-dir %q climbs out of each folder of the transfer", g.value.text),
			Remedy:  "use a plain name such as .rsync-partial, or an absolute path"}
	}
	return p.real, nil
}

// reached holds what an option's path leads to against the rule. Where the kernel
// keeps the child to the rule's path, a link that leads out of it is the
// client's own affair: it reaches nothing. Where nothing does, a folder that is
// not there yet could become such a link.
func (r *rsyncRequest) reached(g givenOption, p place) *Refusal {
	needs := Contents
	if c, _ := g.effective(r.call.direction); c.has(writesPath) {
		needs = Everything // rsync gives such a folder its mode
	}
	if r.host.Hold >= needs {
		return nil
	}
	if refusal := r.places.contained(r.rule, p, true); refusal != nil {
		return refusal
	}
	if r.host.Hold == Unheld && !r.tree.IsDir(p.real) {
		return unconfined(fmt.Sprintf("%s names %q, which is no folder on the gateway yet", g.spelled, p.sent),
			"make the folder with a backup of its own before, or leave the option out", "it takes "+Contents.String())
	}
	return nil
}

// base is the folder where rsync reads the option's relative path from.
func (r *rsyncRequest) base(g givenOption) string {
	if g.spelled == "--files-from" {
		return r.rule.Path
	}
	destination := r.args[0].real
	if r.tree.Exists(destination) && !r.tree.IsDir(destination) {
		return path.Dir(destination)
	}
	return destination
}

// climbs reports whether a relative path leaves the folder where it starts.
func climbs(p string) bool {
	clean := path.Clean(p)
	return clean == ".." || strings.HasPrefix(clean, "../")
}
