package main

import (
	"fmt"
	"os"

	"postern/configs"
	"postern/sandbox"
)

// checkConfinement says whether this host gives what is asked for, and whether it
// would give more.
func checkConfinement(c *configs.Config, host sandbox.Ability) []finding {
	level, err := confinement(c, host)
	switch {
	case err != nil:
		return []finding{mistake(c.Path, err.Error(), "do what is named above, or ask for less")}
	case level == host.Level:
		return nil
	}
	return []finding{caution(c.Path, fmt.Sprintf("a hole in rsync or borg is held by %q confinement, and this host gives %q", level, host.Level),
		"write confinement: "+host.Level.String())}
}

// checkRootChildren finds the folders whose children a gateway of root runs as
// root. One that is confined runs as the owner of its folder.
func checkRootChildren(c *configs.Config) []finding {
	if os.Geteuid() != 0 {
		return nil
	}
	if c.Confinement == sandbox.None.String() {
		return []finding{caution("root", "a gateway that runs as root, as this check does, starts rsync and borg as root",
			"run it as a user of its own that owns the folders of the rules, or ask for confinement")}
	}
	var all []finding
	for _, client := range c.Clients {
		for _, rule := range client.Rules {
			info, err := os.Stat(rule.Path)
			if err != nil {
				continue // checkClient says so
			}
			if ownerOf(info) == 0 {
				all = append(all, caution(rule.Where, fmt.Sprintf("%s belongs to root, so its children run as root", rule.Path),
					"give it to a user of its own: chown -R USER "+shellWord(rule.Path)))
			}
		}
	}
	return all
}
