package policy

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// borgUmask is the file mode creation mask of borg, its own default.
const borgUmask = 0o077

// decideBorg decides a request whose program is borg. The exec string names no
// repository: that comes inside the protocol. So the child is restricted to the
// paths of all the client's rules for borg, and where these differ, the strictest
// holds for the whole session.
func decideBorg(rules []Rule, host Host, second bool, words []word, tree Tree) Decision {
	d := Decision{Tool: Borg, Direction: Serve, Rules: rules}
	program, name := host.Borg, "borg"
	if second {
		program, name = host.Borg2, "borg 2"
	}
	if len(words) == 1 && words[0].text == "--version" && program.Installed() {
		d.Verdict, d.Answer = Answer, strings.TrimSpace("borg "+program.Version)
		return d
	}
	call, refusal := parseBorg(words)
	if refusal != nil {
		return d.deny(refusal)
	}
	if call.rest && !second {
		program, name, second = host.Borg2, "borg 2", true
	}
	if !program.Installed() {
		return d.deny(notInstalled(name))
	}
	if !tree.IsDir(rules[0].Path) {
		return d.deny(missingFolder(rules[0]))
	}
	args, refusal := borgOneArguments(rules, call)
	if second {
		args, d.Rules, refusal = borgTwoArguments(rules, call, tree)
	}
	if refusal != nil {
		return d.deny(refusal)
	}
	d.Verdict = Allow
	d.Program = program.Path
	d.Args = args
	d.Env = borgEnvironment(host, d.Rules[0].Path)
	d.Dir = d.Rules[0].Path
	d.Umask = borgUmask
	d.Writes = slices.ContainsFunc(d.Rules, func(r Rule) bool { return r.Access.MayWrite() })
	d.Stores = d.Writes
	for _, r := range d.Rules {
		if !r.Access.MayWrite() {
			continue
		}
		if refusal := r.hasRoom(tree); refusal != nil {
			return d.deny(refusal)
		}
	}
	return d.runAs(host, tree)
}

// borgOneArguments builds the argument list of borg 1.x.
func borgOneArguments(rules []Rule, call borgCall) ([]string, *Refusal) {
	if call.backend != "" {
		return nil, malformed("option-unknown", "the borg option \"--backend\" goes with --rest", "leave it out")
	}
	if i := slices.IndexFunc(rules, func(r Rule) bool { return r.Access != ReadWrite }); i >= 0 {
		return nil, &Refusal{Code: "borg-access", Status: ExitRefused, Line: "access: read-write",
			Message: fmt.Sprintf("borg 1 cannot serve %s %s", rules[i].Path, rules[i].Access),
			Remedy:  "ask the gateway's operator for access: read-write or for borg 2"}
	}
	args := slices.Concat([]string{"borg", "serve"}, call.level, []string{fmt.Sprintf("--umask=%04o", borgUmask)})
	for _, r := range rules {
		args = append(args, "--restrict-to-path", r.Path)
	}
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.AppendOnly }) {
		args = append(args, "--append-only")
	}
	if quota, ok := smallestQuota(rules); ok {
		args = append(args, "--storage-quota="+strconv.FormatInt(quota, 10))
	}
	return args, nil
}

func smallestQuota(rules []Rule) (int64, bool) {
	var smallest int64
	found := false
	for _, r := range rules {
		if n, ok := r.Quota.Number(); ok && (!found || n < smallest) {
			smallest, found = n, true
		}
	}
	return smallest, found
}

// borgTwoArguments builds the argument list of borg 2, and returns the rules
// that it rests on. Its older protocol ignores --permissions (serve_cmd.py), so
// that serves only clients whose rules restrict nothing; the REST protocol names
// the repository and is held to its rule.
func borgTwoArguments(rules []Rule, call borgCall, tree Tree) ([]string, []Rule, *Refusal) {
	args := slices.Concat([]string{"borg", "serve"}, call.level)
	if !call.rest {
		if i := slices.IndexFunc(rules, Rule.restrictsBorg); i >= 0 {
			return nil, rules, malformed("borg-legacy", fmt.Sprintf("the rule for %s cannot be held over this protocol of borg 2", rules[i].Path),
				"use a rest:// repository")
		}
		for _, r := range rules {
			args = append(args, "--restrict-to-path", r.Path)
		}
		return append(args, "--permissions", "all"), rules, nil
	}
	file, ok := strings.CutPrefix(call.backend, "FILE:")
	if !ok {
		return nil, rules, malformed("borg-backend", fmt.Sprintf("the backend %q is not a FILE: path", call.backend),
			"use a rest:// repository with a path")
	}
	ps := newPlaces(rules, tree)
	p, rule, refusal := ps.repository(file)
	if refusal != nil {
		return nil, rules, refusal
	}
	if _, limited := rule.Quota.Number(); limited {
		return nil, []Rule{rule}, malformed("borg-quota", fmt.Sprintf("borg 2 cannot hold the quota of %s", rule.Path),
			"ask the gateway's operator to lift it")
	}
	return append(args, "--rest", "--backend", "FILE:"+p.real, "--restrict-to-path", rule.Path,
		"--permissions", rule.borgPermissions()), []Rule{rule}, nil
}

// repository resolves a repository's path and finds its rule.
func (ps places) repository(file string) (place, Rule, *Refusal) {
	home := file == "~" || strings.HasPrefix(file, "~/")
	for _, prefix := range []string{"/./", "/~/"} {
		if below, ok := strings.CutPrefix(file, prefix); ok {
			file = strings.TrimLeft(below, "/")
		}
	}
	if strings.HasPrefix(path.Clean(file), "/~") {
		return place{}, Rule{}, malformed("path-user", fmt.Sprintf("%q names the home of another user", file), "use /./ for your own folder")
	}
	p, refusal := ps.resolve(file, home, ps.home())
	if refusal != nil {
		return p, Rule{}, refusal
	}
	rule, refusal := ps.ruleFor(p)
	if refusal != nil {
		return p, Rule{}, refusal
	}
	return p, rule, ps.contained(rule, p, true)
}

// restrictsBorg reports whether the rule grants less than everything.
func (rule Rule) restrictsBorg() bool {
	_, limited := rule.Quota.Number()
	return limited || rule.AppendOnly || rule.Access != ReadWrite
}

// borgPermissions is the rule in the words of borg 2's --permissions.
func (rule Rule) borgPermissions() string {
	switch {
	case rule.Access == ReadOnly:
		return "read-only"
	case rule.Access == WriteOnly:
		return "write-only"
	case rule.AppendOnly:
		return "no-delete"
	}
	return "all"
}

// borgEnvironment adds to the environment what makes borg, and the Python that
// runs it, read no file that a client could have written. BORG_BASE_DIR is what
// borg takes a repository path /~/ from; everything else that would lie below
// it is put elsewhere.
func borgEnvironment(host Host, home string) []string {
	return append(baseEnvironment(host),
		"BORG_BASE_DIR="+home,
		"BORG_CACHE_DIR="+path.Join(host.Home, "cache"),
		"BORG_CONFIG_DIR="+path.Join(host.Home, "config"),
		"BORG_HOST_ID="+host.BorgHostID,
		"BORG_DATA_DIR="+path.Join(host.Home, "data"),
		"BORG_KEYS_DIR="+path.Join(host.Home, "keys"),
		"BORG_RUNTIME_DIR="+path.Join(host.Home, "runtime"),
		"BORG_SECURITY_DIR="+path.Join(host.Home, "security"),
		"BORG_SELFTEST=disabled",
		"PYTHONDONTWRITEBYTECODE=1",
		"PYTHONNOUSERSITE=1",
		"PYTHONSAFEPATH=1",
	)
}
