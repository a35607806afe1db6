package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"postern/configs"
	"postern/gateway"
	"postern/policy"
	"postern/sandbox"
)

// checkConfinement returns how the children are held, and says what would raise
// that.
func checkConfinement(c *configs.Config, host sandbox.Ability) (sandbox.Level, []finding) {
	level, err := confinement(c.Sandbox, host)
	var all []finding
	switch {
	case err != nil:
		return level, []finding{mistake(c.Path, err.Error(), "see postern check --help for what each level holds")}
	case level != host.Level:
		all = append(all, caution(c.Path, fmt.Sprintf("children are held by %q, and this host gives %q", level, host.Level),
			"remove sandbox.most"))
	default:
		for _, hint := range host.Hints {
			all = append(all, caution(c.Path, fmt.Sprintf("children are held by %q, and could be held by more", level), hint))
		}
	}
	if host.UserNamespace && os.Geteuid() != 0 && level.Includes(sandbox.Namespaces) {
		all = append(all, caution(c.Path, "to the children of a gateway without root, files of other users and groups belong to nobody, and access lists cannot name them",
			"if clients must see those owners, write sandbox: {most: landlock}, or run the gateway as root"))
	}
	return level, all
}

// checkChildren looks at a folder as the user that its children run as.
func checkChildren(rule policy.Rule, host policy.Host) []finding {
	user, refused := gateway.ChildUser(rule, host)
	if refused != nil {
		return []finding{childless(rule, host)}
	}
	var all []finding
	if user.UID == 0 {
		all = append(all, caution(rule.Where, fmt.Sprintf("the children of %s run as root", rule.Path),
			"give it to a user of its own, unless files must keep their owners: chown -R USER "+shellWord(rule.Path)))
	}
	if want, words := neededRights(rule.Access); !permits(rule.Path, user, want) {
		all = append(all, refusal(rule, user, "cannot "+words+" in "+rule.Path, fmt.Sprintf("chown %s %s", user, shellWord(rule.Path))))
	}
	if host.Hold == policy.Everything {
		return all // what is above the folder is not what is above it for them
	}
	for at := filepath.Dir(rule.Path); at != "/"; at = filepath.Dir(at) {
		if !permits(at, user, unix.X_OK) {
			all = append(all, refusal(rule, user, "cannot pass "+at, "chmod o+x "+shellWord(at)))
		}
	}
	return all
}

// refusal is the finding that a child's user may not do something. That root
// works out from the bits of a mode; an access list may say more.
func refusal(rule policy.Rule, user policy.User, what, remedy string) finding {
	message := fmt.Sprintf("user %s %s", user, what)
	if os.Geteuid() != 0 {
		return mistake(rule.Where, message, remedy)
	}
	return caution(rule.Where, message+", by its mode", remedy)
}

// childless is the finding that a rule has no children, in words for whoever can
// change that.
func childless(rule policy.Rule, host policy.Host) finding {
	if host.User.UID != 0 {
		named, _ := rule.RunAs.User()
		return mistake(rule.Where, fmt.Sprintf("run_as is %s, and a gateway that runs as uid %d becomes nobody else", named, host.User.UID),
			"remove run_as, or run the gateway as root")
	}
	return mistake(rule.Where, fmt.Sprintf("%s belongs to root, as whom no child runs unasked", rule.Path),
		fmt.Sprintf("chown USER:GROUP %s, or write run_as: USER into the rule, or run_as: root where files must keep their owners", shellWord(rule.Path)))
}

// permits reports whether a user has the rights on a file or folder.
func permits(path string, user policy.User, want uint32) bool {
	if os.Geteuid() != 0 {
		return unix.Faccessat(unix.AT_FDCWD, path, want, unix.AT_EACCESS) == nil
	}
	var stat unix.Stat_t
	if user.UID == 0 || unix.Stat(path, &stat) != nil {
		return true
	}
	granted := stat.Mode
	switch {
	case stat.Uid == user.UID:
		granted >>= 6
	case stat.Gid == user.GID:
		granted >>= 3
	}
	return granted&want == want
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
