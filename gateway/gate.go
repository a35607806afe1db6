package gateway

import (
	"slices"
	"sync"

	"postern/policy"
)

// gate is what a session that policy allows must pass before it is put on record and
// started. It may make the session wait, but gives up with a refusal once the
// session's context is done or its client has closed the channel. leave, which may be
// nil, is called once: when the child has ended, before the client learns of it, or
// when the session is not started after all.
type gate func(g *grant) (leave func(), refusal *policy.Refusal)

// gates are all of them, in the order in which they are passed.
func gates() []gate {
	return []gate{(*grant).show, (*grant).takePlace, (*grant).takeTurn, (*grant).fits, (*grant).stillServing}
}

// pass passes the gates one after the other. The decision becomes a refusal where one
// is shut. leave may be called more than once.
func (g *grant) pass(d policy.Decision, gates []gate) (leave func(), _ policy.Decision) {
	var leaves []func()
	leave = sync.OnceFunc(func() {
		for _, leave := range slices.Backward(leaves) {
			leave()
		}
	})
	for _, gate := range gates {
		left, refusal := gate(g)
		if refusal != nil {
			leave()
			d.Verdict, d.Refusal = policy.Deny, refusal
			return leave, d
		}
		if left != nil {
			leaves = append(leaves, left)
		}
	}
	return leave, d
}
