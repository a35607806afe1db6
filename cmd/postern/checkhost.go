package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postern/configs"
	"postern/sandbox"
)

// checkHost looks at everything outside the configuration's files that the
// gateway depends on.
func checkHost(ctx context.Context, c *configs.Config, found tools, held sandbox.Level, now time.Time) []finding {
	var all []finding
	for _, path := range c.HostKeys {
		if _, err := loadHostKey(path); err != nil {
			all = append(all, asFinding(path, err))
		}
	}
	all = append(all, checkState(c)...)
	all = append(all, checkListen(ctx, c)...)
	all = append(all, checkSending(c)...)
	for _, t := range found.all() {
		all = append(all, checkProgram(t)...)
	}
	host := found.host(c, held)
	all = append(all, checkNeeded(c, host)...)
	all = append(all, checkPopt("/etc/popt", "/etc/popt.d")...)
	for _, client := range c.Clients {
		all = append(all, checkClient(client, host, now)...)
	}
	all = append(all, checkParents(c.Clients)...)
	return append(all, checkSharedPaths(c.Clients)...)
}

func asFinding(subject string, err error) finding {
	var f finding
	if errors.As(err, &f) {
		return f
	}
	return mistake(subject, err.Error(), "see whether the disk is well")
}

// checkState looks at the state folder and at the HOME of children in it.
func checkState(c *configs.Config) []finding {
	if err := checkStateFolder(c.State); err != nil {
		return []finding{asFinding(c.State, err)}
	}
	home := homeFolder(c)
	entries, err := os.ReadDir(home)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // serve makes it
	case err != nil:
		return []finding{mistake(home, fmt.Sprintf("the HOME of children cannot be read: %v", bare(err)), "remove it; serve makes a new one")}
	case len(entries) > 0:
		return []finding{mistake(home, fmt.Sprintf("the HOME of children holds %q, and rsync and borg run what some files there say", entries[0].Name()),
			"empty the folder, and find out who filled it")}
	}
	return nil
}

// checkStateFolder returns a [finding] unless the folder is the gateway's alone.
func checkStateFolder(state string) error {
	info, err := os.Stat(state)
	switch {
	case err != nil:
		return mistake(state, fmt.Sprintf("the state folder cannot be used: %v", bare(err)), "make it with postern init")
	case !info.IsDir():
		return mistake(state, "state is not a folder", "name a folder")
	case info.Mode().Perm()&0o077 != 0:
		return mistake(state, fmt.Sprintf("the state folder has mode %04o: others can look into it", info.Mode().Perm()), "chmod 700 "+state)
	case ownerOf(info) != os.Geteuid() && ownerOf(info) != 0:
		return mistake(state, fmt.Sprintf("the state folder belongs to uid %d", ownerOf(info)), fmt.Sprintf("chown %d %s", os.Geteuid(), state))
	}
	return nil
}

// checkProgram looks at one program, and at who could put another in its place.
func checkProgram(t tool) []finding {
	switch {
	case t.Path == "":
		return nil
	case t.Problem != "":
		return []finding{mistake(t.Name, t.Problem, t.Remedy)}
	}
	var all []finding
	for _, h := range t.Holes {
		all = append(all, caution(t.Path, fmt.Sprintf("%s %s is older than %s, which closed %s", t.Name, t.Version, h.ClosedIn, h.Name),
			"update it, or see whether your distribution closed this under the older number"))
	}
	target, err := filepath.EvalSymlinks(t.Path)
	if err != nil {
		return append(all, mistake(t.Path, err.Error(), "install it again"))
	}
	for _, path := range []string{target, filepath.Dir(target)} {
		all = append(all, checkOwners(path, "can replace what every session runs")...)
	}
	return all
}

// checkOwners finds who beside root and the gateway's user can change the file
// or folder. A group may be one that nobody untrusted is in, as Debian's staff.
func checkOwners(path, consequence string) []finding {
	switch who := changeableBy(path); who {
	case "":
		return nil
	case itsGroup:
		return []finding{caution(path, who+" "+consequence, closing(path, who))}
	default:
		return []finding{mistake(path, who+" "+consequence, closing(path, who))}
	}
}

// The words of changeableBy.
const (
	itsGroup  = "its group"
	everybody = "everybody"
)

// changeableBy says who can change the file or folder beside root and the
// gateway's user; it is empty where nobody can.
func changeableBy(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	switch owner := ownerOf(info); {
	case owner != 0 && owner != os.Geteuid():
		return fmt.Sprintf("uid %d", owner)
	case info.Mode().Perm()&0o002 != 0 && !sticky:
		return everybody
	case info.Mode().Perm()&0o020 != 0 && !sticky:
		return itsGroup
	}
	return ""
}

// checkPopt looks at the settings of the library by which rsync reads its
// options. An "exec" line there runs a program of its choice for every session.
func checkPopt(file, folder string) []finding {
	entries, _ := filepath.Glob(filepath.Join(folder, "*"))
	var all []finding
	for _, path := range append([]string{file, folder}, entries...) {
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		all = append(all, checkOwners(path, "can make every rsync session run another program through it")...)
		if path != folder {
			all = append(all, caution(path, "rsync reads options from here in every session", "see that it says nothing about rsync, or remove it"))
		}
	}
	return all
}

// closing is the remedy for a file or folder that somebody can change.
func closing(path, who string) string {
	switch who {
	case itsGroup:
		return "chmod g-w " + path + ", unless you trust the group"
	case everybody:
		return "chmod o-w " + path
	}
	return "chown root " + path
}

// bare returns what a system call said, without the path, which the message has
// already.
func bare(err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}
