package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The users of the suite: root, and the one of Debian's for backups. There is
// a group of the same number.
const (
	root       = 0
	backupUser = 34
)

// The levels of confinement.
const (
	full       = "full"
	namespaces = "namespaces"
	landlock   = "landlock"
	none       = "none"
)

// manner is how a gateway holds its children, and as whom they run.
type manner struct {
	level string
	// gateway is the gateway's own user.
	gateway int
	// owner is whose the folders of the rules are. Where the gateway is root,
	// its children are that user; where both are root, the rules say so.
	owner int
}

// atFull is what a gateway of root does by default, but that its children are
// root too: what comes of them is what comes of sshd's sessions of root.
var atFull = manner{level: full}

func (m manner) String() string {
	switch {
	case m.gateway != root:
		return m.level + "-unprivileged"
	case m.owner != root:
		return m.level + "-owner"
	}
	return m.level + "-root"
}

// children is the user as whom the children run, where a rule says nothing else.
func (m manner) children() int {
	if m.gateway != root {
		return m.gateway
	}
	return m.owner
}

// sandbox are the lines of postern.yaml for the level, unless the script has its
// own.
func (w *world) sandbox() []string {
	if slices.ContainsFunc(w.config, func(line string) bool { return strings.HasPrefix(line, "sandbox:") }) {
		return nil
	}
	accept := ""
	if w.level == none && w.serverRsync == oldRsync {
		accept = ", i_accept_unconfined: true"
	}
	return []string{fmt.Sprintf("sandbox: {require: %s, most: %s%s}", w.level, w.level, accept)}
}

// written are the options of a rule as they stand in the client's file.
func (w *world) written(r rule) []string {
	var lines []string
	said := w.gateway != root || w.owner != root
	for _, option := range r.options {
		key, _, _ := strings.Cut(option, "=")
		said = said || key == "run_as" || key == "owner"
		if key != "owner" {
			lines = append(lines, option)
		}
	}
	if !said {
		lines = append(lines, "run_as=root")
	}
	return lines
}

// give makes the gateway's user the owner of a tree.
func (w *world) give(tree string) error { return chownAll(tree, w.gateway) }

// giveFolders gives the folders of the rules to whom they are to belong.
func (w *world) giveFolders() error {
	if err := w.own("nas"); err != nil {
		return err
	}
	for _, c := range w.clients {
		for _, r := range c.rules {
			folder := w.seenByServer(r.path)
			if err := w.own(folder); err != nil {
				return err
			}
			for _, option := range r.options {
				if value, ok := strings.CutPrefix(option, "owner="); ok {
					uid, err := strconv.Atoi(value)
					if err != nil {
						return err
					}
					if err := chownAll(folder, uid); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// own gives to the user of the children what root has made in one of the
// script's folders, on either side: so a transfer keeps owners although only
// root could give files away, and the two sides are compared with their owners.
func (w *world) own(path string) error {
	below, err := filepath.Rel(w.work, w.path(path))
	if err != nil || strings.HasPrefix(below, "..") || w.children() == root {
		return err
	}
	top, _, _ := strings.Cut(below, "/")
	return chownFrom(w.path(top), root, w.children())
}

// chownAll gives a tree to a user and the group of the same number.
func chownAll(tree string, uid int) error {
	if uid == root {
		return nil
	}
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
}

// chownFrom gives what belongs to one user in a tree to another.
func chownFrom(tree string, from, to int) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != from {
			return err
		}
		return os.Lchown(path, to, to)
	})
}
