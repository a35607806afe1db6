package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern/configs"
	"postern/policy"
	"postern/registry"
)

// checkHost looks at everything outside the configuration's files that the
// gateway depends on.
func checkHost(c *configs.Config, found tools, now time.Time) []finding {
	var all []finding
	for _, path := range c.HostKeys {
		if _, err := loadHostKey(path); err != nil {
			all = append(all, asFinding(path, err))
		}
	}
	all = append(all, checkState(c)...)
	for _, t := range found.all() {
		all = append(all, checkProgram(t)...)
	}
	all = append(all, checkNeeded(c, found)...)
	all = append(all, checkPopt("/etc/popt", "/etc/popt.d")...)
	for _, client := range c.Clients {
		all = append(all, checkClient(client, now)...)
	}
	all = append(all, checkParents(c.Clients)...)
	all = append(all, checkSharedPaths(c.Clients)...)
	if os.Geteuid() == 0 {
		all = append(all, caution("root", "a gateway that runs as root, as this check does, starts rsync and borg as root",
			"run it as a user of its own that owns the folders of the rules"))
	}
	return all
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

// checkNeeded finds rules whose program this host does not have.
func checkNeeded(c *configs.Config, found tools) []finding {
	host := found.host(c)
	var all []finding
	for _, client := range c.Clients {
		for _, rule := range client.Rules {
			installed := host.Rsync.Installed()
			if rule.Tool == policy.Borg {
				installed = host.Borg.Installed() || host.Borg2.Installed()
			}
			if !installed {
				all = append(all, mistake(rule.Where, fmt.Sprintf("the rule needs %s, and there is none in %s",
					rule.Tool, strings.Join(configs.ProgramFolders(), ", ")),
					fmt.Sprintf("install it, or name it under programs.%s", rule.Tool)))
			}
		}
	}
	return all
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

// checkClient looks at what a client's file says against the clock and the file
// system.
func checkClient(c registry.Client, now time.Time) []finding {
	var all []finding
	switch {
	case c.Disabled:
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		all = append(all, caution(c.Where, fmt.Sprintf("client %q expired at %s", c.Name, c.Expires.Format(time.RFC3339)),
			"move expires, or remove the client"))
	case len(c.Rules) == 0:
		all = append(all, caution(c.Where, fmt.Sprintf("client %q may do nothing", c.Name), "give it a rule under allow, or remove it"))
	}
	for _, rule := range c.Rules {
		all = append(all, checkRule(rule)...)
	}
	return all
}

// checkRule looks at a rule's folder with the eyes of the gateway's user.
func checkRule(rule policy.Rule) []finding {
	info, err := os.Stat(rule.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []finding{mistake(rule.Where, fmt.Sprintf("the folder %s does not exist", rule.Path), "mkdir "+rule.Path)}
	case err != nil:
		return []finding{mistake(rule.Where, fmt.Sprintf("the folder %s cannot be used: %v", rule.Path, bare(err)),
			"let the gateway's user search the folders on the way to it")}
	case !info.IsDir():
		return []finding{mistake(rule.Where, rule.Path+" is not a folder", "name a folder")}
	}
	var all []finding
	if mode, words := neededRights(rule.Access); unix.Faccessat(unix.AT_FDCWD, rule.Path, mode, unix.AT_EACCESS) != nil {
		all = append(all, mistake(rule.Where, fmt.Sprintf("uid %d cannot %s in %s, which belongs to uid %d with mode %04o",
			os.Geteuid(), words, rule.Path, ownerOf(info), info.Mode().Perm()), fmt.Sprintf("chown %d %s", os.Geteuid(), rule.Path)))
	}
	return all
}

// checkParents finds who could put another folder in the place of a rule's. Each
// folder is reported once, with the first rule below it.
func checkParents(clients []registry.Client) []finding {
	var all []finding
	seen := map[string]bool{}
	for _, client := range clients {
		for _, rule := range client.Rules {
			for at := rule.Path; at != "/"; {
				at = filepath.Dir(at)
				if who := changeableBy(at); who != "" && !seen[at] {
					all = append(all, caution(at, fmt.Sprintf("%s can move the folder of the rule at %s away and put another in its place", who, rule.Where),
						closing(at, who)))
				}
				seen[at] = true
			}
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

// neededRights are the rights on the folder that the access mode takes.
func neededRights(access policy.Access) (mode uint32, words string) {
	switch access {
	case policy.ReadOnly:
		return unix.R_OK | unix.X_OK, "read"
	case policy.WriteOnly:
		return unix.W_OK | unix.X_OK, "write"
	}
	return unix.R_OK | unix.W_OK | unix.X_OK, "read and write"
}

// checkSharedPaths finds rules of different clients that reach into each other.
// Each is reported once, with the nearest rule that it reaches into.
func checkSharedPaths(clients []registry.Client) []finding {
	type reach struct {
		client string
		rule   policy.Rule
	}
	var all []reach
	for _, c := range clients {
		for _, r := range c.Rules {
			all = append(all, reach{c.Name, r})
		}
	}
	// In this order what lies below a folder follows it without a gap.
	slices.SortStableFunc(all, func(a, b reach) int { return strings.Compare(a.rule.Path+"/", b.rule.Path+"/") })
	var found []finding
	var above []reach
	for _, r := range all {
		for len(above) > 0 && !within(r.rule.Path, above[len(above)-1].rule.Path) {
			above = above[:len(above)-1]
		}
		for _, other := range slices.Backward(above) {
			if other.client != r.client {
				found = append(found, caution(r.rule.Where, fmt.Sprintf("client %q reaches %s, and client %q reaches %s (%s)",
					r.client, r.rule.Path, other.client, other.rule.Path, other.rule.Where),
					"give each client a folder of its own, unless that is meant"))
				break
			}
		}
		above = append(above, r)
	}
	return found
}

// within reports whether path is folder or lies below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
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
