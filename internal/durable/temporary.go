package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"postern/internal/claim"
)

// newTemporary makes the file that is to take the place of the one at path. It is
// claimed until it is closed.
func newTemporary(path string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
		if err != nil || claim.Take(f, f.Name()) {
			return f, err
		}
		f.Close() // another process that starts took it for left
	}
}

// temporaryNames are what [os.CreateTemp] makes of the pattern above.
var temporaryNames = regexp.MustCompile(`^\..+\.[0-9]+\.tmp$`)

// RemoveLeftovers removes the temporary files, in a folder and those below it, of this
// user's processes that were killed before they had put them in their places. What
// cannot be removed stays.
func RemoveLeftovers(folder string) {
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !temporaryNames.MatchString(entry.Name()) {
			return nil
		}
		if f, free := claim.Open(path); free {
			defer f.Close()
			_ = os.Remove(path)
		}
		return nil
	})
}
