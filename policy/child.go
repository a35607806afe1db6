package policy

import (
	"fmt"
)

// runAs completes an allowed decision with whom its child runs as, or refuses
// it. One child serves all rules of a decision, so they must agree.
func (d Decision) runAs(host Host, tree Tree) Decision {
	for i, rule := range d.Rules {
		if i > 0 && !tree.IsDir(rule.Path) {
			continue // it is not shown to the child
		}
		user, refusal := rule.ChildUser(host, tree)
		switch {
		case refusal != nil:
			return d.deny(refusal)
		case i > 0 && user != d.User:
			return d.deny(&Refusal{Code: "run-as", Status: ExitRefused,
				Message: fmt.Sprintf("%s and %s belong to different users of the gateway", d.Rules[0].Path, rule.Path),
				Remedy:  "ask the gateway's operator to give them to one",
				Detail:  fmt.Sprintf("one borg serves both; it would run as %s and as %s; chown one of them, or write the same run_as into both rules", d.User, user)})
		}
		d.User = user
	}
	return d
}

// ChildUser says whom the children of a rule run as on a host, or why there are
// none.
func (rule Rule) ChildUser(host Host, tree Tree) (User, *Refusal) {
	named, set := rule.RunAs.User()
	switch {
	case host.User.UID != 0 && set && named.UID != host.User.UID:
		return User{}, &Refusal{Code: "run-as", Status: ExitRefused,
			Message: "the gateway cannot become the user of " + rule.Path,
			Remedy:  "ask the gateway's operator to look at its records",
			Detail:  fmt.Sprintf("run_as is %s, and a gateway that runs as uid %d becomes nobody else; remove run_as, or run it as root", named, host.User.UID)}
	case host.User.UID != 0:
		return host.User, nil
	case set:
		return named, nil
	}
	owner, known := tree.Owner(rule.Path)
	if !known || owner.UID == 0 || owner.GID == 0 {
		return User{}, notForRoot(rule, owner)
	}
	return owner, nil
}

// notForRoot is the refusal of a folder that belongs to root or to root's group,
// or of which nobody can tell.
func notForRoot(rule Rule, owner User) *Refusal {
	whose := "root"
	if owner.UID != 0 {
		whose = "the group of root"
	}
	return &Refusal{Code: "root-owned", Status: ExitRefused, Line: "run_as: USER",
		Message: fmt.Sprintf("the folder %s belongs to %s, as which nothing runs here", rule.Path, whose),
		Remedy:  "ask the gateway's operator to give it to a user",
		Detail:  fmt.Sprintf("its owner is %s; chown USER:GROUP %s, write run_as: USER into the rule, or run_as: root where files must keep their owners", owner, rule.Path)}
}

// hasRoom refuses where the rule's file system has less space than the rule
// leaves free.
func (rule Rule) hasRoom(tree Tree) *Refusal {
	if !rule.MinFree.set {
		return nil
	}
	return rule.LeavesFree(tree.Free(rule.Path))
}

// LeavesFree refuses where less space is free, in bytes, than the rule leaves, or
// nobody knows how much is.
func (rule Rule) LeavesFree(free int64, known bool) *Refusal {
	floor, set := rule.MinFree.Number()
	if !set || known && free >= floor {
		return nil
	}
	has, least := sizes(free, floor)
	return &Refusal{Code: "min-free", Status: ExitRefused,
		Message: fmt.Sprintf("%s has %s free, and backups must leave %s (min_free)", rule.Path, has, least),
		Remedy:  "ask the gateway's operator for room, or remove old backups there",
		Detail:  "min_free in " + rule.Where}
}
