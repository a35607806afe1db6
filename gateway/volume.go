package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"postern/policy"
)

// OwnerOf returns the user that a folder belongs to, with that user's own group,
// or the folder's where the user has no name on this host.
func OwnerOf(folder string) (policy.User, error) {
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err != nil {
		return policy.User{}, err
	}
	owner := policy.User{UID: stat.Uid, GID: stat.Gid}
	// Files in a container carry numbers that have a name on its host alone.
	if known, err := user.LookupId(strconv.FormatUint(uint64(owner.UID), 10)); err == nil {
		gid, err := strconv.ParseUint(known.Gid, 10, 32)
		if err != nil {
			return policy.User{}, fmt.Errorf("group of user %s: %w", known.Username, err)
		}
		owner.GID = uint32(gid)
	}
	return owner, nil
}

// ChildUser says whom the children of a rule run as, or why there are none, by the
// file system as it is now.
func ChildUser(rule policy.Rule, host policy.Host) (policy.User, *policy.Refusal) {
	return rule.ChildUser(host, tree{})
}

// Owner implements [policy.Tree].
func (tree) Owner(folder string) (policy.User, bool) {
	owner, err := OwnerOf(folder)
	return owner, err == nil
}

// Free implements [policy.Tree].
func (tree) Free(folder string) (int64, bool) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, false
	}
	return int64(stat.Bavail) * stat.Bsize, true
}

// errFound ends a walk.
var errFound = errors.New("found")

// StrayLink implements [policy.Tree]. It reads the whole tree, which is what it
// costs to run without confinement. What cannot be read counts as such a link.
func (t tree) StrayLink(root string) (link string) {
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		stray := err != nil && !errors.Is(err, fs.ErrNotExist)
		if err == nil && entry.Type() == fs.ModeSymlink {
			stray = !munged(name) && t.Escapes(root, path.Clean(name), true)
		}
		if stray {
			link = name
			return errFound
		}
		return nil
	})
	if err != nil && link == "" {
		link = root
	}
	return link
}

// mungedPrefix begins the target of a link that rsync made inert
// (SYMLINK_PREFIX): no folder has that name.
const mungedPrefix = "/rsyncd-munged/"

// munged reports whether a link leads nowhere because rsync made it inert.
func munged(link string) bool {
	target, err := os.Readlink(link)
	return err == nil && strings.HasPrefix(target, mungedPrefix) && !tree{}.Exists(path.Clean(mungedPrefix))
}
