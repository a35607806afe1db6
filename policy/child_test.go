package policy_test

import (
	"slices"
	"testing"

	"postern/policy"
)

// rootHost is a host whose gateway runs as root.
func rootHost() policy.Host {
	h := host()
	h.User = policy.User{}
	return h
}

func runAs(uid, gid uint32) func(*policy.Rule) {
	return func(r *policy.Rule) { r.RunAs = policy.RunAsUser(policy.User{UID: uid, GID: gid}) }
}

func minFree(n int64) func(*policy.Rule) {
	return func(r *policy.Rule) { r.MinFree = policy.LimitOf(n) }
}

// user is whom the child of what was allowed runs as, or the code of the
// refusal.
func user(d policy.Decision) string {
	if d.Verdict != policy.Allow {
		return outcome(d)
	}
	return d.User.String()
}

func TestWhomTheChildRunsAs(t *testing.T) {
	owned := func(owners map[string]policy.User) table {
		tree := nas()
		tree.owners = owners
		return tree
	}
	var (
		root      = policy.User{}
		someone   = policy.User{UID: 2000, GID: 2000}
		rootGroup = policy.User{UID: 2000}
	)
	for name, test := range map[string]struct {
		rules []policy.Rule
		host  policy.Host
		tree  table
		exec  string
		want  string
	}{
		"root's children are the owner of the path":       {rsyncRule(), rootHost(), nas(), push + ". .", "1026:100"},
		"the rule names somebody else":                    {rsyncRule(runAs(2000, 2000)), rootHost(), nas(), push + ". .", "2000:2000"},
		"the rule names root":                             {rsyncRule(runAs(0, 0)), rootHost(), nas(), push + ". .", "0:0"},
		"a path of root":                                  {rsyncRule(), rootHost(), owned(map[string]policy.User{k1: root}), push + ". .", "refused: root-owned"},
		"a path of root and a rule that says so":          {rsyncRule(runAs(0, 0)), rootHost(), owned(map[string]policy.User{k1: root}), pull + ". .", "0:0"},
		"a path whose group is root's":                    {rsyncRule(), rootHost(), owned(map[string]policy.User{k1: rootGroup}), pull + ". .", "refused: root-owned"},
		"a gateway that is not root stays what it is":     {rsyncRule(), host(), owned(map[string]policy.User{k1: root}), push + ". .", "1000:1000"},
		"a rule that names the gateway's own user":        {rsyncRule(runAs(1000, 1000)), host(), nas(), push + ". .", "1000:1000"},
		"a rule that a gateway without root cannot do":    {rsyncRule(runAs(0, 0)), host(), nas(), push + ". .", "refused: run-as"},
		"borg runs as the owner too":                      {[]policy.Rule{borgRule()}, rootHost(), nas(), "borg serve", "1026:100"},
		"one borg for two folders of one user":            {[]policy.Rule{borgRule(), borgRule(other)}, rootHost(), nas(), "borg serve", "1026:100"},
		"one borg for two folders of different users":     {[]policy.Rule{borgRule(), borgRule(other)}, rootHost(), owned(map[string]policy.User{k2: someone}), "borg serve", "refused: run-as"},
		"two users that the rules make one":               {[]policy.Rule{borgRule(runAs(7, 7)), borgRule(other, runAs(7, 7))}, rootHost(), owned(map[string]policy.User{k2: someone}), "borg serve", "7:7"},
		"a second folder of root is refused as the first": {[]policy.Rule{borgRule(), borgRule(other)}, rootHost(), owned(map[string]policy.User{k2: root}), "borg serve", "refused: root-owned"},
	} {
		t.Run(name, func(t *testing.T) {
			request, refusal := policy.Parse(test.exec)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if got := user(policy.Decide(test.rules, test.host, request, test.tree)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestFloorOfFreeSpace(t *testing.T) {
	for name, test := range map[string]struct {
		rules []policy.Rule
		exec  string
		want  policy.Verdict
	}{
		"a push with room":               {rsyncRule(minFree(1 << 30)), push + ". .", policy.Allow},
		"a push without":                 {rsyncRule(minFree(1<<30 + 1)), push + ". .", policy.Deny},
		"a push that only shows":         {rsyncRule(minFree(1 << 40)), "rsync --server -nre.iLsfxCIvu . .", policy.Allow},
		"a pull":                         {rsyncRule(minFree(1 << 40)), pull + ". .", policy.Allow},
		"borg, which may write":          {[]policy.Rule{borgRule(minFree(1 << 40))}, "borg serve", policy.Deny},
		"borg on one of two full drives": {[]policy.Rule{borgRule(), borgRule(other, minFree(1<<40))}, "borg serve", policy.Deny},
		"borg with room":                 {[]policy.Rule{borgRule(minFree(1))}, "borg serve", policy.Allow},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(t, test.rules, host(), test.exec)
			if d.Verdict != test.want || d.Verdict == policy.Deny && d.Refusal.Code != "min-free" {
				t.Errorf("got %s, want %s", outcome(d), test.want)
			}
		})
	}
}

// A floor must hold where nobody can tell how much is free.
func TestFloorOfUnknownSpace(t *testing.T) {
	tree := nas()
	tree.free = -1
	request, _ := policy.Parse(push + ". .")
	if d := policy.Decide(rsyncRule(minFree(1)), host(), request, tree); d.Verdict != policy.Deny {
		t.Errorf("got %s", outcome(d))
	}
}

func TestWhatChangesNothing(t *testing.T) {
	for exec, stores := range map[string]bool{
		push + ". .": true, "rsync --server -nre.iLsfxCIvu . .": false, pull + ". .": false, pull + "--remove-source-files . .": false, "borg serve": true,
	} {
		if d := decide(t, append(rsyncRule(), borgRule()), host(), exec); d.Verdict != policy.Allow || d.Stores != stores {
			t.Errorf("%s: %s, stores %v, want %v", exec, outcome(d), d.Stores, stores)
		}
	}
	for exec, want := range map[string]bool{
		push + ". .":                       true,
		pull + ". .":                       false,
		pull + "--delete-missing-args . .": true,
		pull + "--remove-source-files . .": true,
		"borg serve":                       true,
	} {
		if d := decide(t, append(rsyncRule(), borgRule()), host(), exec); d.Verdict != policy.Allow || d.Writes != want {
			t.Errorf("%s: %s, %v, want %v", exec, outcome(d), d.Writes, want)
		}
	}
}

func TestBorgKnowsItsHostAndTestsNothing(t *testing.T) {
	h := host()
	h.BorgHostID = "nas@1"
	d := decide(t, []policy.Rule{borgRule()}, h, "borg serve")
	for _, want := range []string{"BORG_HOST_ID=nas@1", "BORG_SELFTEST=disabled", "PYTHONNOUSERSITE=1"} {
		if !slices.Contains(d.Env, want) {
			t.Errorf("%s is missing in %q", want, d.Env)
		}
	}
}
