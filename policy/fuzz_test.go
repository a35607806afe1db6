package policy_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"postern/policy"
)

// seeds are requests of every kind, for the fuzz targets.
var seeds = []string{
	push + ". x", pull + ". sub/*.txt", pull + ". " + k1 + "/sub/./a.txt", push + "--backup-dir ../b . cur",
	push + `. a\ b\$\(id\)`, push + ". 'a b' \"c\\\"d\"", "borg serve --info", "borg2 serve --rest --backend FILE:/./repo",
	"LC_ALL=C rsync --server -re.iLsfxCIvu . x", push + ". x\\\ny", push + ". /../k2", push + ". ~/../k2", push + ". {a,b}",
	pull + ". [!a]*/?", push + "--suffix= . x", "rsync --server -slogDtpre.iLsfxCIvu", push + ". ''", "\xff\xfe", push + ". \xff",
}

// FuzzParse holds that what is understood renders to a string that is understood
// as the same words.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, exec string) {
		r, refusal := policy.Parse(exec)
		if refusal != nil {
			if refusal.Code == "" || refusal.Message == "" || refusal.Status != policy.ExitRefused {
				t.Fatalf("%q: a refusal without a reason: %+v", exec, refusal)
			}
			return
		}
		again, refusal := policy.Parse(policy.Quote(r.Words()))
		if refusal != nil {
			if refusal.Code == "too-long" || refusal.Code == "assignment" {
				return // quoting lengthens, and a quoted name can look like an assignment
			}
			t.Fatalf("%q renders as %q, which is refused: %v", exec, policy.Quote(r.Words()), refusal)
		}
		if len(again.Dropped()) == 0 && !slices.Equal(r.Words(), again.Words()) {
			t.Fatalf("%q reads as %q, and rendered as %q", exec, r.Words(), again.Words())
		}
	})
}

// FuzzDecide holds that no accepted path leaves its rule, and that the argument
// list of what is accepted is accepted again as it is.
func FuzzDecide(f *testing.F) {
	for i, s := range seeds {
		f.Add(s, "", i%2 == 0)
		f.Add("rsync --server --sender -slogDtpre.iLsfxCIvu", "rsync\x00.\x00"+s, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, exec, secluded string, virtual bool) {
		r, refusal := policy.Parse(exec)
		if refusal == nil && r.Secluded() {
			r, refusal = r.WithArguments(strings.Split(secluded, "\x00"))
		}
		if refusal != nil {
			return
		}
		rules := append(rsyncRule(func(r *policy.Rule) { r.Rooted = virtual }), borgRule())
		h := host()
		h.Borg2 = policy.Program{Path: "/opt/borg2/borg"}
		d := policy.Decide(rules, h, r, nas())
		switch d.Verdict {
		case policy.Deny:
			if d.Refusal == nil || d.Refusal.Error() == "" || d.Refusal.Status < 1 || d.Refusal.Status > 254 {
				t.Fatalf("%q: a refusal without a reason", exec)
			}
		case policy.Allow:
			holdsInside(t, d)
			holdsAgain(t, rules, h, d)
		}
	})
}

// holdsInside checks every path in the child's argument list by the kernel's
// rules, not by the ones that built it.
func holdsInside(t *testing.T, d policy.Decision) {
	t.Helper()
	if d.Tool == policy.Borg {
		holdsRepository(t, d)
		return
	}
	dashes := slices.Index(d.Args, "--")
	if d.Args[0] != "rsync" || d.Args[1] != "--server" || dashes < 0 || d.Args[dashes+1] != "." {
		t.Fatalf("not a server's argument list: %q", d.Args)
	}
	destination := d.Dir
	for _, arg := range d.Args[dashes+2:] {
		at := arg
		if !path.IsAbs(at) {
			at = d.Dir + "/" + at
		}
		destination = path.Clean(at)
		mustLieInside(t, d, destination)
	}
	for _, arg := range d.Args[:dashes] {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || !strings.HasSuffix(name, "-dir") && !strings.HasSuffix(name, "-dest") {
			continue
		}
		if path.IsAbs(value) {
			mustLieInside(t, d, path.Clean(value))
			continue
		}
		mustLieInside(t, d, path.Join(destination, value))
		if destination != d.Dir {
			mustLieInside(t, d, path.Join(path.Dir(destination), value))
		}
	}
}

// holdsRepository checks that borg is restricted to its rule, and to nothing else.
func holdsRepository(t *testing.T, d policy.Decision) {
	t.Helper()
	restricted := 0
	for i, arg := range d.Args {
		switch {
		case arg == "--restrict-to-path":
			mustLieInside(t, d, path.Clean(d.Args[i+1]))
			restricted++
		case strings.HasPrefix(arg, "FILE:"):
			mustLieInside(t, d, path.Clean(strings.TrimPrefix(arg, "FILE:")))
		}
	}
	if d.Args[0] != "borg" || d.Args[1] != "serve" || restricted != len(d.Rules) {
		t.Fatalf("not restricted: %q", d.Args)
	}
}

func mustLieInside(t *testing.T, d policy.Decision, at string) {
	t.Helper()
	root := d.Rules[0].Path
	if at != root && !strings.HasPrefix(at, root+"/") {
		t.Fatalf("%q lies outside %q in %q", at, root, d.Args)
	}
}

// holdsAgain checks that the rendered child, as a request, is decided as itself.
func holdsAgain(t *testing.T, rules []policy.Rule, h policy.Host, d policy.Decision) {
	t.Helper()
	args := slices.DeleteFunc(slices.Clone(d.Args), func(a string) bool { return a == "--" })
	r, refusal := policy.Parse(policy.Quote(args))
	if refusal != nil {
		if refusal.Code == "control-character" || refusal.Code == "too-long" {
			return // secluded names hold what an exec string cannot
		}
		t.Fatalf("%q is refused: %v", args, refusal)
	}
	if d.Program == h.Borg2.Path {
		return // borg 2 is called borg, which means borg 1 in a request
	}
	again := policy.Decide(rules, h, r, nas())
	if again.Verdict != policy.Allow || !slices.Equal(again.Args, d.Args) {
		t.Fatalf("%q is decided as %s %q", d.Args, outcome(again), again.Args)
	}
}
