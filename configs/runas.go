package configs

import (
	"errors"
	"math"
	"os/user"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"postern/policy"
)

// users is the user database of a host.
type users struct {
	byName, byID func(string) (*user.User, error)
}

// hostUsers returns that of this host.
func hostUsers() users { return users{user.Lookup, user.LookupId} }

// rootName is the one way to write root: whoever wants it says so in a word that
// cannot be read past.
const rootName = "root"

const numbersRemedy = "write the numbers of the user and its group: run_as: \"UID:GID\""

var userNumber = regexp.MustCompile(`^[0-9]+$`)

// runAs reads whom the children of a rule run as.
func (c *clientFile) runAs(n ast.Node, to *policy.RunAs) {
	var f fault
	var u policy.User
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		u, f = c.host.users.number(n.GetToken().Value)
	default:
		text, ok := c.word(n, "run_as")
		if !ok {
			return
		}
		u, f = c.host.users.parse(text)
	}
	if f.message != "" {
		c.fault(markOf(n), f.remedy, "run_as: %s", f.message)
		return
	}
	*to = policy.RunAsUser(u)
}

// parse returns the user that the text names: root, a name, a number of the
// database, or the numbers of a user and a group.
func (us users) parse(text string) (policy.User, fault) {
	uid, gid, pair := strings.Cut(text, ":")
	switch {
	case text == rootName:
		return policy.User{}, fault{}
	case pair && userNumber.MatchString(uid) && userNumber.MatchString(gid):
		return judged(text, uid, gid)
	case pair:
		return policy.User{}, faultf("write two numbers, or the name of the user alone", "%q is not \"UID:GID\"", text)
	case userNumber.MatchString(text):
		return us.number(text)
	}
	found, err := us.byName(text)
	switch {
	case errors.As(err, new(user.UnknownUserError)):
		return policy.User{}, faultf("correct the name, or "+numbersRemedy, "this host knows no user %q", text)
	case err != nil:
		return policy.User{}, unreadable(text, err)
	}
	return judged(text, found.Uid, found.Gid)
}

// number returns the user of the database that has the number.
func (us users) number(uid string) (policy.User, fault) {
	if n, ok := id(uid); !ok || n == 0 {
		return judged(uid, uid, uid)
	}
	found, err := us.byID(uid)
	switch {
	case errors.As(err, new(user.UnknownUserIdError)):
		return policy.User{}, faultf("write its group too: run_as: \""+uid+":GID\"", "this host knows no user %q", uid)
	case err != nil:
		return policy.User{}, unreadable(uid, err)
	}
	return judged(uid, uid, found.Gid)
}

func unreadable(text string, err error) fault {
	return faultf(numbersRemedy, "the user %q cannot be looked up: %v", text, err)
}

// judged returns the user of two numbers, unless it is root or in the group of
// root. The text is what the file says.
func judged(text, uid, gid string) (policy.User, fault) {
	u, userOK := id(uid)
	g, groupOK := id(gid)
	switch {
	case !userOK || !groupOK:
		return policy.User{}, faultf("write numbers from 1 to 4294967294, without zeros in front", "%q stands for no user that there can be", text)
	case u == 0:
		return policy.User{}, faultf("write run_as: root, or another user", "%q is root", text)
	case g == 0:
		return policy.User{}, faultf("write its number with another group: run_as: \""+uid+":GID\"", "the group of %q is that of root", text)
	}
	return policy.User{UID: u, GID: g}, fault{}
}

// id reads a number of a user or a group, as the kernel has them: 32 bits
// without the last, which means none.
func id(digits string) (uint32, bool) {
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil && n != math.MaxUint32 && strconv.FormatUint(n, 10) == digits
}
