package policy_test

import (
	"slices"
	"strings"
	"testing"

	"postern/policy"
)

func mayHold(n int64) func(*policy.Rule) { return func(r *policy.Rule) { r.Quota = policy.LimitOf(n) } }
func maxFiles(n int64) func(*policy.Rule) {
	return func(r *policy.Rule) { r.MaxFiles = policy.LimitOf(n) }
}

func TestFits(t *testing.T) {
	const used = 3 << 30
	for name, c := range map[string]struct {
		rule policy.Rule
		code string
		want string
	}{
		"no limit":             {rsyncRule()[0], "", ""},
		"what it may hold":     {rsyncRule(mayHold(used), maxFiles(100))[0], "", ""},
		"a byte too many":      {rsyncRule(mayHold(used - 1))[0], "quota", k1 + " holds 3221225472 bytes, and its quota is 3221225471 bytes"},
		"twice as much":        {rsyncRule(mayHold(used / 2))[0], "quota", k1 + " holds 3.0 GiB, and its quota is 1.5 GiB"},
		"a file too many":      {rsyncRule(mayHold(used), maxFiles(99))[0], "max-files", k1 + " holds 100 files and folders, and at most 99 are allowed"},
		"nothing may be there": {rsyncRule(maxFiles(0))[0], "max-files", "at most 0 are allowed"},
		"borg counts itself":   {borgRule(mayHold(1)), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			refusal := c.rule.Fits(policy.Usage{Bytes: used, Files: 100})
			switch {
			case refusal == nil && c.code == "":
			case refusal == nil || c.code == "":
				t.Errorf("refused with %v, want %q", refusal, c.code)
			case refusal.Code != c.code || !strings.Contains(refusal.Message, c.want) || refusal.Status != policy.ExitRefused || refusal.Line == "" || refusal.Remedy == "":
				t.Errorf("refused with %+v", refusal)
			}
		})
	}
}

// Who may not delete is not told to.
func TestRemedyOfAFullFolder(t *testing.T) {
	for deletes, rule := range map[bool]policy.Rule{true: rsyncRule(mayHold(1))[0], false: rsyncRule(mayHold(1), noDelete)[0]} {
		if got := rule.Fits(policy.Usage{Bytes: 2}).Remedy; strings.Contains(got, "--delete") != deletes {
			t.Errorf("may delete: %v, remedy %q", deletes, got)
		}
	}
}

func TestMeasured(t *testing.T) {
	for want, rules := range map[bool][]policy.Rule{
		true: {rsyncRule(mayHold(1))[0], rsyncRule(maxFiles(1))[0]}, false: {rsyncRule(minFree(1))[0], borgRule(mayHold(1)), {}},
	} {
		for _, rule := range rules {
			if rule.Measured() != want {
				t.Errorf("%+v: measured %v", rule, !want)
			}
		}
	}
}

// A push that neither makes nor changes files can only delete, which is how a client
// makes room: no floor keeps it out.
func TestWhatOnlyDeletes(t *testing.T) {
	full := rsyncRule(minFree(1 << 40))
	for exec, c := range map[string]struct {
		rules  []policy.Rule
		stores bool
	}{
		push + "--delete --existing --ignore-existing . .":            {full, false},
		push + "--delete --ignore-non-existing --ignore-existing . .": {full, false},
		push + "--existing --ignore-existing . .":                     {full, false},
		push + "--delete --existing . .":                              {full, true},
		push + "--delete --ignore-existing . .":                       {full, true},
		push + "--delete . .":                                         {full, true},
		// What exists is not changed there anyway.
		push + "--delete --existing . .#": {rsyncRule(minFree(1<<40), noOverwrite), false},
	} {
		d := decide(t, c.rules, host(), strings.TrimSuffix(exec, "#"))
		if allowed := d.Verdict == policy.Allow; allowed == c.stores || d.Stores && allowed {
			t.Errorf("%s: %s", exec, outcome(d))
		}
		if d.Verdict == policy.Allow && (!d.Writes || len(d.Alters()) != 1) {
			t.Errorf("%s cannot delete", exec)
		}
	}
}

func TestAlters(t *testing.T) {
	readOnlyBorg := borgRule(other, func(r *policy.Rule) { r.Access = policy.ReadOnly })
	for exec, want := range map[string][]string{
		push + ". .": {k1},
		push + "--delete --existing --ignore-existing . .":                 {k1},
		"rsync --server -nre.iLsfxCIvu . .":                                nil,
		pull + ". .":                                                       nil,
		pull + "--remove-source-files . .":                                 {k1},
		"rsync --server --sender -nre.iLsfxCIvu --remove-source-files . .": nil,
		"borg serve": {k1, k2},
		"rsync":      nil,
	} {
		var got []string
		for _, rule := range decide(t, append(rsyncRule(), borgRule(), borgRule(other)), host(), exec).Alters() {
			got = append(got, rule.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s alters %q, want %q", exec, got, want)
		}
	}
	d := policy.Decision{Verdict: policy.Allow, Tool: policy.Borg, Writes: true, Rules: []policy.Rule{borgRule(), readOnlyBorg}}
	if got := d.Alters(); len(got) != 1 || got[0].Path != k1 {
		t.Errorf("alters %+v", got)
	}
}
