package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Decide says what becomes of a request, on the rules of the client that the
// connection's key identified.
func Decide(rules []Rule, host Host, r Request, tree Tree) Decision {
	if len(r.words) == 0 {
		return Decision{}.deny(malformed("empty-command", "the command is empty", "point rsync or borg at this host"))
	}
	words := slices.Concat(r.words, r.secluded)
	program, refusal := host.programNamed(words[0].text)
	if refusal != nil {
		return Decision{}.deny(refusal)
	}
	d := Decision{Tool: program.tool}
	granted := rulesFor(rules, program.tool)
	if len(granted) == 0 {
		return d.deny(noRule(program.tool, rules))
	}
	if refusal := r.charsetKept(); refusal != nil {
		return d.deny(refusal)
	}
	if program.tool == Borg {
		return decideBorg(granted, host, program.second, words[1:], tree)
	}
	return decideRsync(granted, host, words[1:], tree)
}

func rulesFor(rules []Rule, tool Tool) []Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r.Tool != tool })
}

// deny completes a decision as a refusal.
func (d Decision) deny(refusal *Refusal) Decision {
	d.Verdict = Deny
	d.Refusal = refusal
	return d
}

// charsetKept refuses secluded names that the client converted to a character
// set that is not this host's: with --iconv they travel as UTF-8, and rsync
// would convert them once more.
func (r Request) charsetKept() *Refusal {
	for i, w := range r.words {
		set, ok := strings.CutPrefix(w.text, "--iconv=")
		if !ok && w.text == "--iconv" && i+1 < len(r.words) {
			set, ok = r.words[i+1].text, true
		}
		if !ok || set == "." || strings.ReplaceAll(strings.ToLower(set), "-", "") == "utf8" {
			continue
		}
		if slices.ContainsFunc(r.secluded, func(w word) bool { return !isASCII(w.text) }) {
			return malformed("iconv-secluded", fmt.Sprintf("names outside ASCII cannot be converted to %q together with -s", set),
				"leave -s out, or use UTF-8 on this side of --iconv")
		}
	}
	return nil
}

func isASCII(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return c >= 0x80 })
}

func noRule(tool Tool, rules []Rule) *Refusal {
	var other []string
	for _, r := range rules {
		other = append(other, string(r.Tool)+" in "+r.Path)
	}
	remedy := "ask the gateway's operator for a rule"
	if len(other) > 0 {
		remedy = "allowed: " + strings.Join(other, ", ")
	}
	return &Refusal{Code: "no-rule", Status: ExitRefused, Remedy: remedy,
		Message: fmt.Sprintf("this key may not use %s", tool),
		Line:    fmt.Sprintf("- %s: /path/to/folder", tool)}
}

func notInstalled(name string) *Refusal {
	return &Refusal{Code: "not-installed", Status: ExitNotInstalled,
		Message: fmt.Sprintf("%s is not installed on the gateway", name),
		Remedy:  "ask the gateway's operator to install it",
		Detail:  fmt.Sprintf("install %s or name its binary under programs: in postern.yaml", name)}
}

func missingFolder(rule Rule) *Refusal {
	return &Refusal{Code: "path-missing", Status: ExitRefused,
		Message: fmt.Sprintf("the folder %s does not exist on the gateway", rule.Path),
		Remedy:  "ask the gateway's operator to make it",
		Detail:  fmt.Sprintf("mkdir %s, owned by the user that the children run as", rule.Path)}
}

// baseEnvironment is what every child gets. Nothing of it comes from a client
// or from the gateway's own environment.
func baseEnvironment(host Host) []string {
	return []string{
		"HOME=" + host.Home,
		"LANG=C.UTF-8",
		"PATH=/usr/bin:/bin",
	}
}
