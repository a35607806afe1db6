package gateway

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"postern/gateway/limit"
	"postern/policy"
	"postern/registry"
)

// describe serves a client that asks for no command: it says who the client is
// and what it may do. The status is 1 when that is nothing.
func (s *session) describe() {
	who, err := s.server.identify(s.who.Peer)
	d := policy.Decision{Verdict: policy.Answer}
	if err != nil {
		d = refused(denied(err))
	}
	if err := s.server.config.Trail.SessionDecided(s.about, s.record("", nil, d)); err != nil {
		s.deny(s.input, errNoRecords.Error(), policy.ExitRefused)
		return
	}
	if d.Refusal != nil {
		s.deny(s.input, d.Refusal.Error(), d.Refusal.Status)
		return
	}
	host := s.server.config.Host
	s.say(s.channel, Describe(who.Client, who.Fingerprint, host))
	if !MayAnything(who.Client, host) {
		s.finish(1)
		return
	}
	s.finish(0)
}

// Describe says who a client is, which key it used, and what it may do on the
// host, in lines for a person.
func Describe(c registry.Client, fingerprint string, host policy.Host) string {
	var out strings.Builder
	fmt.Fprintf(&out, "You are client %q, with the key %s.\n", c.Name, fingerprint)
	if !c.Expires.IsZero() {
		fmt.Fprintf(&out, "Your access ends at %s.\n", c.Expires.Format("2006-01-02 15:04 MST"))
	}
	if len(c.Rules) == 0 {
		out.WriteString("You may do nothing here: no rule allows you anything.\n")
		return out.String()
	}
	out.WriteString("There is no shell here. You may use:\n\n")
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, rule := range c.Rules {
		fmt.Fprintf(table, "  %s\t%q\t%s\n", rule.Tool, rule.Path, strings.Join(terms(rule, host), ", "))
	}
	table.Flush()
	if terms := limit.Terms(c.Bounds); len(terms) > 0 {
		out.WriteString("\nAll together:\n\n  " + strings.Join(terms, "\n  ") + "\n")
	}
	return out.String()
}

// terms are the words for what a rule allows and forbids.
func terms(rule policy.Rule, host policy.Host) []string {
	words := []string{rule.Access.String()}
	for _, term := range []struct {
		holds bool
		word  string
	}{
		{rule.Tool == policy.Rsync && rule.Access.MayWrite() && !rule.Delete, "no deleting"},
		{rule.Tool == policy.Rsync && rule.Access.MayWrite() && !rule.Overwrite, "no overwriting"},
		{rule.Rooted, "seen as /"},
		{rule.MungeLinks, "symbolic links made inert"},
		{rule.AppendOnly, "append only"},
		{rule.OneWriter && rule.Access.MayWrite(), "one writer at a time"},
		{!installed(rule.Tool, host), "not installed on this gateway"},
	} {
		if term.holds {
			words = append(words, term.word)
		}
	}
	if quota, ok := rule.Quota.Number(); ok && rule.Access.MayWrite() {
		words = append(words, "at most "+humanize.IBytes(uint64(quota)))
	}
	if files, ok := rule.MaxFiles.Number(); ok && rule.Access.MayWrite() {
		words = append(words, fmt.Sprintf("at most %d files", files))
	}
	if floor, ok := rule.MinFree.Number(); ok && rule.Access.MayWrite() {
		words = append(words, "while "+humanize.IBytes(uint64(floor))+" are free")
	}
	return words
}

// MayAnything reports whether there is a rule whose tool the host has.
func MayAnything(c registry.Client, host policy.Host) bool {
	for _, rule := range c.Rules {
		if installed(rule.Tool, host) {
			return true
		}
	}
	return false
}

func installed(tool policy.Tool, host policy.Host) bool {
	switch tool {
	case policy.Rsync:
		return host.Rsync.Installed()
	case policy.Borg:
		return host.Borg.Installed() || host.Borg2.Installed()
	}
	return false
}
