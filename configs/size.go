package configs

import (
	"math"
	"regexp"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml/ast"
)

const sizeExample = "write a number and its unit, such as 500GiB or 2TB"

// sizeForm is less than the library takes: no separators of thousands, no digits
// of other scripts, no unit without B.
var sizeForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+)? ?([kKMGTPE]i?)?B$`)

// parseSize returns a size in bytes, such as 500GiB or 1.5 TB. The unit is
// demanded, because a bare number is bytes to one reader and gigabytes to
// another, and so is its B, because G is 1000³ to some and 1024³ to others.
func parseSize(text string) (bytes int64, fault, remedy string) {
	if !sizeForm.MatchString(text) {
		return 0, "is not a size", sizeExample
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return 0, "is too large a size", "write a smaller one, or leave the key out"
	}
	return int64(n), "", ""
}

// size returns the value as a number of bytes, or complains.
func (s *source) size(n ast.Node, key string) (int64, bool) {
	text, ok := n.(*ast.StringNode)
	if !ok {
		s.fault(markOf(n), sizeExample, "%s must be a size, not %s", key, kindOf(n))
		return 0, false
	}
	bytes, message, remedy := parseSize(text.Value)
	if message != "" {
		s.fault(markOf(n), remedy, "%s: %q %s", key, text.Value, message)
		return 0, false
	}
	return bytes, true
}
