package policy

import (
	"path"
	"slices"
	"strings"
)

// maxMatches is the most names that the wildcards of one argument may stand
// for: the child's argument list stays within what the kernel takes.
const maxMatches = 4096

// expand replaces the wildcards of a path by the names that they match, sorted.
// spelled is the path up to its first component with a wildcard, as the child
// will be told it; folder is the same place as a real path; rest are the
// components from there on. Nothing outside root is listed, and a component ..
// after a wildcard matches nothing.
func expand(tree Tree, root, folder, spelled string, rest []string, dots bool) []string {
	if len(rest) == 0 {
		return []string{spelled}
	}
	var found []string
	for _, name := range candidates(tree, root, folder, rest[0], dots) {
		at := path.Join(folder, name)
		if len(rest) > 1 && !tree.IsDir(at) {
			continue
		}
		found = append(found, expandBelow(tree, root, at, spelled+name, rest[1:], dots)...)
		if len(found) > maxMatches {
			break
		}
	}
	return found
}

// expandBelow goes on below a component that matched.
func expandBelow(tree Tree, root, folder, spelled string, rest []string, dots bool) []string {
	if len(rest) == 0 {
		return []string{spelled}
	}
	if len(rest) == 1 && rest[0] == "" {
		return []string{spelled + "/"}
	}
	return expand(tree, root, folder, spelled+"/", rest, dots)
}

// candidates are the names in folder that the component matches. A component
// without a wildcard matches the name that it spells, without listing: the
// folder may be one that can be searched but not listed.
func candidates(tree Tree, root, folder, component string, dots bool) []string {
	if tree.Escapes(root, folder, true) {
		return nil
	}
	if !hasWildcard(component) {
		name := unescapePattern(component)
		if name == ".." || !tree.Exists(path.Join(folder, name)) {
			return nil
		}
		return []string{name}
	}
	var names []string
	for _, name := range tree.Names(folder) {
		if name != "." && name != ".." && (dots || component[0] == '.' || name[0] != '.') && matches(component, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// hasWildcard reports whether a pattern holds a wildcard that is not escaped.
func hasWildcard(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

// unescapePattern returns the name that a pattern without wildcards spells.
func unescapePattern(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

// matches reports whether the name matches the pattern: * any bytes, ? one
// byte, [...] one byte of a set, with ranges, and with ! or ^ the complement.
// A [ that nothing closes stands for itself, as in a shell. It takes time
// proportional to the product of both lengths at most.
func matches(pattern, name string) bool {
	p, n := 0, 0
	starP, starN := -1, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			starP, starN = p, n
			p++
			continue
		}
		if size := matchOne(pattern[p:], name[n]); size > 0 {
			p += size
			n++
			continue
		}
		if starP < 0 {
			return false
		}
		starN++
		p, n = starP+1, starN
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches the element at the head of the pattern with one byte and
// returns the element's length, or 0 where it does not match.
func matchOne(pattern string, c byte) int {
	switch {
	case pattern == "":
		return 0
	case pattern[0] == '?':
		return 1
	case pattern[0] == '[':
		if in, size := matchSet(pattern, c); size > 0 {
			if !in {
				return 0
			}
			return size
		}
	case pattern[0] == '\\' && len(pattern) > 1:
		if pattern[1] == c {
			return 2
		}
		return 0
	}
	if pattern[0] == c {
		return 1
	}
	return 0
}

// matchSet matches a [set] and returns its length, or a length of 0 where
// nothing closes it.
func matchSet(pattern string, c byte) (in bool, size int) {
	i := 1
	negate := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negate {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return in != negate, i + 1
		}
		var low, high byte
		low, i = setByte(pattern, i)
		high = low
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			high, i = setByte(pattern, i+1)
		}
		in = in || low <= c && c <= high
	}
	return false, 0
}

// setByte reads one byte of a set, escaped or not, and returns the place after it.
func setByte(pattern string, i int) (byte, int) {
	if pattern[i] == '\\' && i+1 < len(pattern) {
		i++
	}
	return pattern[i], i + 1
}
