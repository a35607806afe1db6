package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"postern/internal/claim"
)

// The names of temporary folders begin so.
const (
	logFolder   = "postern-log-"
	probeFolder = "postern-probe-"
)

// newTemporary makes a folder below the one for temporary files, by a path without
// links, for its owner alone. remove removes it with what is in it, and may be called
// more than once.
//
// The folder is claimed until then, so that [RemoveLeftovers] can tell it from what a
// process left that was killed.
func newTemporary(prefix string) (path string, remove func(), err error) {
	base, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		return "", nil, err
	}
	for {
		path, err := os.MkdirTemp(base, prefix)
		if err != nil {
			return "", nil, err
		}
		folder, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // another process that starts took it for left
		}
		if err != nil {
			return "", nil, err
		}
		if claim.Take(folder, path) {
			return path, sync.OnceFunc(func() { os.RemoveAll(path); folder.Close() }), nil
		}
		folder.Close()
	}
}

// RemoveLeftovers removes the temporary folders of this user's processes that were
// killed while they had them. What cannot be removed stays.
func RemoveLeftovers() {
	base := os.TempDir()
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, logFolder) || strings.HasPrefix(name, probeFolder) {
			removeLeft(filepath.Join(base, name))
		}
	}
}

// removeLeft removes a folder that is free. Where everybody may write, as in /tmp, the
// sticky bit keeps others from putting something else in its place.
func removeLeft(path string) {
	if folder, free := claim.Open(path); free {
		defer folder.Close()
		os.RemoveAll(path)
	}
}
