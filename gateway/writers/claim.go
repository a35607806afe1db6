package writers

import (
	"slices"
	"strings"
)

// Claim is a folder that a session may change.
type Claim struct {
	// Folder is its real path, absolute and clean.
	Folder string
	// Sole says that nobody else may write in the folder, above it or below it
	// meanwhile.
	Sole bool
}

// overlaps reports whether one of the two folders is the other or lies in it.
func overlaps(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// meets returns the folder of the first of some claims that cannot go on beside the
// others, if there is one.
func meets(claims, others []Claim) (folder string, ok bool) {
	for _, a := range claims {
		for _, b := range others {
			if (a.Sole || b.Sole) && overlaps(a.Folder, b.Folder) {
				return a.Folder, true
			}
		}
	}
	return "", false
}

// lock is a folder to be locked: for its holder alone, or with others.
type lock struct {
	folder string
	alone  bool
}

// locksOf are the locks that stand for some claims, in the order of their folders.
// sole are the folders of all rules that let one session write at a time. Each
// session locks those that its own folders overlap: with the others, or alone where
// such a rule is its own. So two that must not write at once meet at the folder of one
// of the rules. Its own folder it locks too, for the sake of a gateway that goes by
// newer rules.
func locksOf(claims []Claim, sole []string) []lock {
	alone := map[string]bool{}
	for _, c := range claims {
		for _, folder := range sole {
			if _, known := alone[folder]; !known && overlaps(c.Folder, folder) {
				alone[folder] = false
			}
		}
		alone[c.Folder] = alone[c.Folder] || c.Sole
	}
	var locks []lock
	for folder := range alone {
		locks = append(locks, lock{folder, alone[folder]})
	}
	slices.SortFunc(locks, func(a, b lock) int { return strings.Compare(a.folder, b.folder) })
	return locks
}
