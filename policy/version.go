package policy

import (
	"strconv"
	"strings"
)

// version is the number of a release: major, minor, patch.
type version [3]int

// parseVersion reads the numbers at the head of a version such as "3.2.7" or
// "3.5.0pre1". It reports false for anything else.
func parseVersion(s string) (version, bool) {
	var v version
	for i, part := range strings.SplitN(s, ".", 3) {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(part)
		}
		n, err := strconv.Atoi(part[:end])
		if err != nil {
			return version{}, false
		}
		v[i] = n
	}
	return v, true
}

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}
