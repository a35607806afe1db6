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

	"postern/configs"
	"postern/gateway"
	"postern/policy"
	"postern/registry"
)

// checkClient looks at what a client's file says against the clock and the file
// system.
func checkClient(c registry.Client, host policy.Host, now time.Time) []finding {
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
		all = append(all, checkRule(rule, host)...)
	}
	return all
}

// checkRule looks at a rule's folder with the eyes of its children.
func checkRule(rule policy.Rule, host policy.Host) []finding {
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
	all := checkChildren(rule, host)
	if err := gateway.CanWatch(rule); err != nil {
		all = append(all, mistake(rule.Where, fmt.Sprintf("the gateway cannot hold %s to the limits of the rule: %v", rule.Path, bare(err)),
			"let the gateway's user read it, have it on a file system that locks folders (flock), or remove quota, max_files and one_writer"))
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

// checkNeeded finds rules whose program this host does not have.
func checkNeeded(c *configs.Config, host policy.Host) []finding {
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
