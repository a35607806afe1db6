package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// inside reports whether p is root or lies below it. Both are clean and
// absolute. A prefix twin, root with more letters, is not inside.
func inside(root, p string) bool {
	return p == root || strings.HasPrefix(p, strings.TrimSuffix(root, "/")+"/")
}

// place is one path argument: where it leads, and what of its spelling the
// child must see too.
type place struct {
	// sent is the argument as the client meant it, for messages.
	sent string
	// real is the absolute clean path.
	real string
	// anchor is the real path before rsync's /./ marker, or "" without one.
	anchor string
	// absolute says that the child is told the real path, not one relative
	// to its working directory: with -R the spelling is part of what is sent.
	absolute bool
	// tail is "/" or "/." where the argument ends so: rsync then means what
	// is in the folder, and follows a symbolic link.
	tail string
}

// told returns the argument that the child gets, whose working directory is dir.
// It never begins with a dash, which would be an option.
func (p place) told(dir string) string {
	spelled := p.spelled(dir)
	if strings.HasPrefix(spelled, "-") {
		return "./" + spelled
	}
	return spelled
}

func (p place) spelled(dir string) string {
	tell := func(at string) string {
		switch {
		case p.absolute || !inside(dir, at):
			return at
		case at == dir:
			return "."
		}
		return at[len(dir)+1:]
	}
	if p.anchor == "" {
		return strings.TrimSuffix(tell(p.real), "/") + p.tail
	}
	marked := tell(p.anchor) + "/./" + strings.TrimPrefix(strings.TrimPrefix(p.real, p.anchor), "/")
	if strings.HasSuffix(marked, "/./") {
		return marked
	}
	return marked + p.tail
}

// places resolves the path arguments of one client for one tool.
type places struct {
	// rules are the client's rules for the tool, in the order of its file.
	rules []Rule
	// root is the path that "/" means: "/" itself, or the path of the first
	// rule that is rooted.
	root string
	tree Tree
}

func newPlaces(rules []Rule, tree Tree) places {
	ps := places{rules: rules, root: "/", tree: tree}
	if i := slices.IndexFunc(rules, func(r Rule) bool { return r.Rooted }); i >= 0 {
		ps.root = rules[i].Path
	}
	return ps
}

// home is where relative paths start.
func (ps places) home() string { return ps.rules[0].Path }

// resolve says where one argument leads from the folder base. It consults no
// file: what symbolic links do is the caller's to ask.
func (ps places) resolve(text string, tilde bool, base string) (place, *Refusal) {
	if len(text) > maxPath {
		return place{}, tooLong("a path has %d bytes, at most %d are read", len(text), maxPath)
	}
	p := place{sent: text, tail: tailOf(text), absolute: path.IsAbs(text)}
	if tilde {
		below, refusal := belowHome(text)
		if refusal != nil {
			return place{}, refusal
		}
		text, base, p.absolute = below, ps.home(), true
	}
	p.real = ps.realPath(text, base)
	if path.IsAbs(text) && ps.isVirtual(text) {
		p.absolute = false
	}
	if head, _, marked := strings.Cut(text, "/./"); marked {
		if anchor := ps.realPath(head+"/", base); inside(anchor, p.real) {
			p.anchor = anchor
		}
	}
	return p, nil
}

// belowHome takes the ~ off a path that begins with an unquoted one.
func belowHome(text string) (string, *Refusal) {
	if text == "~" {
		return "", nil
	}
	if below, ok := strings.CutPrefix(text, "~/"); ok {
		return strings.TrimLeft(below, "/"), nil
	}
	user, _, _ := strings.Cut(text, "/")
	return "", malformed("path-user", fmt.Sprintf("%q names the home of another user", user),
		"use ~/ or a relative path for your own folder, and ./ before a name that begins with ~")
}

func (ps places) realPath(text, base string) string {
	switch {
	case !path.IsAbs(text):
		return path.Join(base, text)
	case ps.isVirtual(text):
		return path.Join(ps.root, text[1:])
	}
	return path.Clean(text)
}

// isVirtual reports whether an absolute path counts from the rule's path: the
// client has a rooted rule, and the path is not the real spelling of one that
// is allowed.
func (ps places) isVirtual(text string) bool {
	return ps.root != "/" && !slices.ContainsFunc(ps.rules, func(r Rule) bool { return inside(r.Path, path.Clean(text)) })
}

// tailOf returns how a path argument ends, as far as rsync cares.
func tailOf(text string) string {
	switch {
	case strings.HasSuffix(text, "/"):
		return "/"
	case strings.HasSuffix(text, "/.") || text == ".." || strings.HasSuffix(text, "/.."):
		return "/."
	}
	return ""
}

// argument resolves one path argument of the exec string, with its wildcards
// replaced by the names that they match. Where nothing matches, the argument
// stands for itself, as it does in a shell.
func (ps places) argument(w word) ([]place, *Refusal) {
	texts := []string{w.text}
	if w.pattern != "" {
		matched, refusal := ps.expand(w)
		if refusal != nil {
			return nil, refusal
		}
		if len(matched) > 0 {
			texts = matched
		}
	}
	found := make([]place, 0, len(texts))
	for _, text := range texts {
		p, refusal := ps.resolve(text, w.tilde, ps.home())
		if refusal != nil {
			return nil, refusal
		}
		found = append(found, p)
	}
	return found, nil
}

// expand replaces the wildcards of a word. What comes before the first of them
// must lie inside a rule's path: nothing outside is ever listed.
func (ps places) expand(w word) ([]string, *Refusal) {
	components := strings.Split(w.pattern, "/")
	first := slices.IndexFunc(components, hasWildcard)
	if first < 0 {
		return nil, nil
	}
	prefix := unescapePattern(strings.Join(components[:first], "/"))
	if first > 0 {
		prefix += "/"
	}
	folder, refusal := ps.resolve(prefix, w.tilde, ps.home())
	if refusal != nil {
		return nil, refusal
	}
	rule, refusal := ps.ruleFor(folder)
	if refusal != nil {
		return nil, refusal
	}
	found := expand(ps.tree, rule.Path, folder.real, prefix, components[first:], w.dots)
	if len(found) > maxMatches {
		return nil, tooLong("the wildcards of one argument match more than %d names", maxMatches)
	}
	return found, nil
}

// ruleFor returns the rule with the longest path that holds every place.
func (ps places) ruleFor(all ...place) (Rule, *Refusal) {
	var best Rule
	for _, rule := range ps.rules {
		holds := !slices.ContainsFunc(all, func(p place) bool { return !inside(rule.Path, p.real) })
		if holds && len(rule.Path) > len(best.Path) {
			best = rule
		}
	}
	if best.Path == "" {
		return best, ps.outside(all)
	}
	return best, nil
}

// outside is the refusal of places that no single rule holds.
func (ps places) outside(all []place) *Refusal {
	allowed := "allowed: " + ps.allowed()
	for _, p := range all {
		if !slices.ContainsFunc(ps.rules, func(r Rule) bool { return inside(r.Path, p.real) }) {
			return &Refusal{Code: "path-outside", Status: ExitRefused, Remedy: allowed,
				Message: fmt.Sprintf("%q is outside the allowed paths", p.sent),
				Detail:  fmt.Sprintf("it leads to %q", p.real),
				Line:    fmt.Sprintf("- %s: %s", ps.rules[0].Tool, p.real)}
		}
	}
	return &Refusal{Code: "path-rules", Status: ExitRefused, Remedy: "ask for each in a command of its own; " + allowed,
		Message: "the paths lie in different rules"}
}

// allowed lists the paths of the rules with their access.
func (ps places) allowed() string {
	list := make([]string, len(ps.rules))
	for i, r := range ps.rules {
		list[i] = fmt.Sprintf("%s (%s)", r.Path, r.Access)
	}
	return strings.Join(list, ", ")
}

// contained refuses a place from which symbolic links lead out of the rule. It
// gives a good message; that the links stay as they are is not its promise.
func (ps places) contained(rule Rule, p place, follow bool) *Refusal {
	if !ps.tree.Escapes(rule.Path, p.real, follow) {
		return nil
	}
	return &Refusal{Code: "path-symlink", Status: ExitRefused,
		Message: fmt.Sprintf("%q leads out of %s through a symbolic link", p.sent, rule.Path),
		Remedy:  "name a path without that link"}
}
