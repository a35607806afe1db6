package gateway

import (
	"slices"
	"testing"

	"postern/policy"
)

// Gates are left in the reverse order, once, and at once where a later one is shut.
func TestGates(t *testing.T) {
	var steps []string
	open := func(name string) gate {
		return func(*grant) (func(), *policy.Refusal) {
			steps = append(steps, name)
			return func() { steps = append(steps, "-"+name) }, nil
		}
	}
	free := func(*grant) (func(), *policy.Refusal) { return nil, nil }
	shut := func(*grant) (func(), *policy.Refusal) { return nil, &policy.Refusal{Code: "shut"} }
	allowed := policy.Decision{Verdict: policy.Allow}

	leave, d := (&grant{}).pass(allowed, []gate{open("a"), free, open("b")})
	leave()
	leave()
	if d.Verdict != policy.Allow || !slices.Equal(steps, []string{"a", "b", "-b", "-a"}) {
		t.Errorf("%v: %v", d.Verdict, steps)
	}
	steps = nil
	leave, d = (&grant{}).pass(allowed, []gate{open("a"), shut, open("b")})
	leave()
	if d.Verdict != policy.Deny || d.Refusal.Code != "shut" || !slices.Equal(steps, []string{"a", "-a"}) {
		t.Errorf("%v, %v: %v", d.Verdict, d.Refusal, steps)
	}
}
