package policy

import (
	"fmt"
	"slices"
)

// TakesBack says what a decision no longer grants of one that came before it about
// the same request, for the same host, or "" where it grants as much or more. What
// made no difference to the request is no loss to it.
func (d Decision) TakesBack(before Decision) string {
	switch {
	case d.Verdict == Deny:
		return d.Refusal.Message
	case d.Verdict != before.Verdict || d.Program != before.Program:
		return "another program serves the request now"
	case d.User != before.User:
		return "the program runs as another user of the gateway now"
	case d.Limits.Files.below(before.Limits.Files):
		return "limits.files is lower now"
	case d.Limits.Memory.below(before.Limits.Memory):
		return "limits.memory is lower now"
	}
	for _, rule := range before.Rules {
		if what := d.takesBackFolder(rule, before.writes(rule)); what != "" {
			return what
		}
	}
	if slices.Equal(d.Args, before.Args) {
		return ""
	}
	return termsOf(d.Rules).takeBack(termsOf(before.Rules), d.Direction)
}

// takesBackFolder says what is no longer granted of the folder of a rule.
func (d Decision) takesBackFolder(before Rule, written bool) string {
	holds := func(rule Rule) bool { return inside(rule.Path, before.Path) }
	if !slices.ContainsFunc(d.Rules, holds) {
		return fmt.Sprintf("no rule is about the whole of %s any more", before.Path)
	}
	writable := func(rule Rule) bool { return holds(rule) && d.writes(rule) }
	if written && !slices.ContainsFunc(d.Rules, writable) {
		return fmt.Sprintf("%s may not be written any more", before.Path)
	}
	return ""
}

// writes reports whether the child may change something in the folder of a rule.
func (d Decision) writes(rule Rule) bool { return d.Writes && rule.Access.MayWrite() }

// below reports whether a limit allows less than another.
func (l Limit) below(other Limit) bool {
	return l.set && (!other.set || l.number < other.number)
}

// grantTerms are the terms on which rules serve a request together: the strictest
// of each.
type grantTerms struct {
	overwrite, munges, appends, reads bool
	quota                             Limit
}

func termsOf(rules []Rule) grantTerms {
	t := grantTerms{overwrite: true, reads: true}
	for _, r := range rules {
		t.overwrite = t.overwrite && r.Overwrite
		t.munges = t.munges || r.MungeLinks
		t.appends = t.appends || r.AppendOnly
		t.reads = t.reads && r.Access.MayRead()
	}
	// What rsync may fill, the gateway watches by the rules of the moment.
	if n, ok := smallestQuota(rules); ok && rules[0].Tool == Borg {
		t.quota = LimitOf(n)
	}
	return t
}

// takeBack says which term has become stricter.
func (t grantTerms) takeBack(before grantTerms, direction Direction) string {
	switch {
	case direction == Push && before.overwrite && !t.overwrite:
		return "what exists may not be changed any more (overwrite: false)"
	case t.munges && !before.munges:
		return "symbolic links are made inert now (munge_links: true)"
	case t.appends && !before.appends:
		return "repositories may only grow now (append_only: true)"
	case t.quota.below(before.quota):
		return "the quota is smaller now"
	case before.reads && !t.reads:
		return "reading is not allowed any more"
	}
	return ""
}
