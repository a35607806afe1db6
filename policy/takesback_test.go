package policy_test

import (
	"slices"
	"strings"
	"testing"

	"postern/policy"
)

func TestTakesBack(t *testing.T) {
	const push, pull = "rsync --server -logDtpre.iLsfxCIvu . " + k1, "rsync --server --sender -logDtpre.iLsfxCIvu . " + k1 + "/sub"
	const into, deleting = "rsync --server -logDtpre.iLsfxCIvu . " + k1 + "/sub/", "rsync --server -logDtpre.iLsfxCIvu --delete . " + k1 + "/"
	borg := func(change ...func(*policy.Rule)) []policy.Rule {
		r := policy.Rule{Tool: policy.Borg, Path: k1, Access: policy.ReadWrite}
		for _, c := range change {
			c(&r)
		}
		return []policy.Rule{r}
	}
	oneWriter := func(r *policy.Rule) { r.OneWriter, r.Wait = true, policy.LimitOf(0) }
	second := func(r *policy.Rule) { r.Path = k2 }
	whole := func(r *policy.Rule) { r.Path = "/volume1/Backups" }
	appendOnly := func(r *policy.Rule) { r.AppendOnly = true }
	minFree := func(r *policy.Rule) { r.MinFree = policy.LimitOf(2 << 30) }
	runAs := func(r *policy.Rule) { r.RunAs = policy.RunAsUser(policy.User{UID: 1000, GID: 7}) }
	moved := func(r *policy.Rule) { r.Where = "k1.yaml:9" }
	for name, c := range map[string]struct {
		exec        string
		before, now []policy.Rule
		want        string
	}{
		"the same":                   {push, rsyncRule(), rsyncRule(), ""},
		"another line":               {push, rsyncRule(), rsyncRule(moved), ""},
		"no rule":                    {push, rsyncRule(), nil, "this key may not use rsync"},
		"another tool":               {push, rsyncRule(), borg(), "this key may not use rsync"},
		"another folder":             {into, rsyncRule(), rsyncRule(second), "outside"},
		"a narrower folder":          {into, rsyncRule(), rsyncRule(inSub), "no rule is about the whole of " + k1},
		"a wider folder":             {into, rsyncRule(inSub), rsyncRule(), ""},
		"the widest folder":          {into, rsyncRule(inSub), rsyncRule(whole), ""},
		"one more rule":              {into, rsyncRule(), append(rsyncRule(), rsyncRule(second)...), ""},
		"a push, read-only":          {push, rsyncRule(), rsyncRule(readOnly), "writing is not allowed"},
		"a pull, read-only":          {pull, rsyncRule(), rsyncRule(readOnly), ""},
		"a pull, read-write":         {pull, rsyncRule(readOnly), rsyncRule(), ""},
		"a pull, write-only":         {pull, rsyncRule(), rsyncRule(writeOnly), "reading is not allowed"},
		"a push, no delete":          {push, rsyncRule(), rsyncRule(noDelete), ""},
		"a deletion, no delete":      {deleting, rsyncRule(), rsyncRule(noDelete), "deleting (--delete) is not allowed"},
		"a push, no overwrite":       {push, rsyncRule(), rsyncRule(noOverwrite), "overwrite: false"},
		"a pull, no overwrite":       {pull, rsyncRule(), rsyncRule(noOverwrite), ""},
		"a push, overwrite":          {push, rsyncRule(noOverwrite), rsyncRule(), ""},
		"munged":                     {pull, rsyncRule(), rsyncRule(munge), "munge_links: true"},
		"no longer munged":           {pull, rsyncRule(munge), rsyncRule(), ""},
		"seen as /":                  {into, rsyncRule(), rsyncRule(rooted), ""},
		"too little room":            {push, rsyncRule(), rsyncRule(minFree), "free"},
		"rsync, a quota":             {push, rsyncRule(), rsyncRule(mayHold(1)), ""},
		"rsync, a smaller quota":     {push, rsyncRule(mayHold(2<<30), maxFiles(7)), rsyncRule(mayHold(1<<30), maxFiles(1)), ""},
		"a quota, and less strict":   {push, rsyncRule(noOverwrite), rsyncRule(mayHold(1)), ""},
		"one writer":                 {push, rsyncRule(), rsyncRule(oneWriter), ""},
		"borg, one writer":           {"borg serve", borg(), borg(oneWriter), ""},
		"another user":               {push, rsyncRule(), rsyncRule(runAs), ""},
		"borg, one more":             {"borg serve", borg(), append(borg(), borg(second)...), ""},
		"borg, one less":             {"borg serve", append(borg(), borg(second)...), borg(), "no rule is about the whole of " + k2},
		"borg, append only":          {"borg serve", borg(), borg(appendOnly), "append_only: true"},
		"borg, one more append only": {"borg serve", borg(), append(borg(), borg(second, appendOnly)...), "append_only: true"},
		"borg, no longer append":     {"borg serve", borg(appendOnly), borg(), ""},
		"borg, a quota":              {"borg serve", borg(), borg(mayHold(1 << 30)), "the quota is smaller"},
		"borg, a smaller quota":      {"borg serve", borg(mayHold(2 << 30)), borg(mayHold(1 << 30)), "the quota is smaller"},
		"borg, a larger quota":       {"borg serve", borg(mayHold(1 << 30)), borg(mayHold(2 << 30)), ""},
		"borg, no quota":             {"borg serve", borg(mayHold(1 << 30)), borg(), ""},
		"borg, read-only":            {"borg serve", borg(), borg(readOnly), "borg 1 cannot serve"},
	} {
		t.Run(name, func(t *testing.T) {
			before, now := decide(t, c.before, host(), c.exec), decide(t, c.now, host(), c.exec)
			if before.Verdict != policy.Allow {
				t.Fatalf("refused before: %v", before.Refusal)
			}
			got := now.TakesBack(before)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("takes back %q, want %q\nbefore %q\nnow    %q", got, c.want, before.Args, now.Args)
			}
		})
	}
}

// Whoever runs as another user, or has less to run with, has less.
func TestTakesBackOfTheHost(t *testing.T) {
	before := decide(t, rsyncRule(), host(), "rsync --server -logDtpre.iLsfxCIvu . "+k1)
	for name, c := range map[string]struct {
		change func(d *policy.Decision)
		want   bool
	}{
		"user":         {func(d *policy.Decision) { d.User.UID++ }, true},
		"files":        {func(d *policy.Decision) { d.Limits.Files = policy.LimitOf(64) }, true},
		"memory":       {func(d *policy.Decision) { d.Limits.Memory = policy.LimitOf(1 << 30) }, true},
		"program":      {func(d *policy.Decision) { d.Program += "-old" }, true},
		"answer":       {func(d *policy.Decision) { d.Verdict = policy.Answer }, true},
		"read-only":    {func(d *policy.Decision) { d.Writes = false }, true},
		"another list": {func(d *policy.Decision) { d.Args = slices.Clone(d.Args) }, false},
	} {
		now := before
		c.change(&now)
		if got := now.TakesBack(before); (got != "") != c.want {
			t.Errorf("%s: takes back %q", name, got)
		}
		if got := before.TakesBack(now); name != "user" && (name == "program" || name == "answer") != (got != "") {
			t.Errorf("%s undone: takes back %q", name, got)
		}
	}
}
