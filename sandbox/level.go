package sandbox

import (
	"fmt"
	"strings"
)

// Level says which of the kernel's means hold a child. The zero Level says
// nothing and is no level.
//
// None is the least and Full the most. Namespaces and Landlock lie between and
// are not ordered: each stops what the other lets through, so neither meets a
// demand for the other. See [Level.Includes].
type Level int

// The levels. Every one of them has the child's own user, the limits, the
// umask, no_new_privs and, where the kernel has it, the filter of system calls;
// each above None requires that filter.
const (
	// None has nothing more.
	None Level = 1 + iota
	// Namespaces shows the child a root that holds its paths and what its
	// program needs, no other process and no network.
	Namespaces
	// Landlock opens nothing but the child's paths and what its program
	// needs. What is outside can still be looked up and, where the child's
	// user owns it, be given another mode, owner, time or attribute.
	Landlock
	// Full is both.
	Full
)

// levelNames are in the order of the constants.
var levelNames = [...]string{"none", "namespaces", "landlock", "full"}

func (l Level) String() string {
	if l < None || l > Full {
		return fmt.Sprintf("Level(%d)", int(l))
	}
	return levelNames[l-None]
}

// ParseLevel reads what [Level.String] writes.
func ParseLevel(name string) (Level, error) {
	for i, known := range levelNames {
		if name == known {
			return None + Level(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no level of confinement; use one of %s", name, strings.Join(levelNames[:], ", "))
}

// Includes reports whether l has every means that least has.
func (l Level) Includes(least Level) bool {
	means, demand := l-None, least-None
	return l >= None && least >= None && means&demand == demand
}

// combine is the level that has the given means.
func combine(namespaces, landlock bool) Level {
	l := None
	if namespaces {
		l += Namespaces - None
	}
	if landlock {
		l += Landlock - None
	}
	return l
}

// or is l unless l says nothing.
func (l Level) or(other Level) Level {
	if l == 0 {
		return other
	}
	return l
}

func (l Level) namespaces() bool { return l.Includes(Namespaces) }
func (l Level) landlock() bool   { return l.Includes(Landlock) }
