package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"postern/internal/rsynclog"
	"postern/policy"
	"postern/sandbox"
)

// scratch is where a program has its temporary files.
const scratch = "/tmp"

// HoldOf is what a level of confinement means for decisions.
func HoldOf(l sandbox.Level) policy.Hold {
	switch {
	case l.Includes(sandbox.Namespaces):
		return policy.Everything
	case l.Includes(sandbox.Landlock):
		return policy.Contents
	}
	return policy.Unheld
}

// child is what a decision allows, ready to be started, with the folders of its
// rules open: what a client does from then on cannot put others in their place.
type child struct {
	order sandbox.Order
	tool  policy.Tool
	// touched reads the log of an rsync; nil for others.
	touched *touched
}

// close lets go of what the child was prepared with. It may be called more than once.
func (c *child) close() {
	c.closeFolders()
	if c.touched != nil {
		c.touched.forget()
	}
}

// closeFolders lets go of the folders, which nobody needs once the child has begun.
func (c *child) closeFolders() {
	for i, p := range c.order.Paths {
		if p.Folder != nil {
			p.Folder.Close()
			c.order.Paths[i].Folder = nil
		}
	}
}

// prepare makes the child of a decision, held to the folders of its rules. Where
// that cannot be, the decision becomes a refusal.
func (s *Server) prepare(d policy.Decision) (*child, policy.Decision) {
	c := &child{tool: d.Tool, order: sandbox.Order{
		Program: d.Program, Args: d.Args, Env: d.Env, Dir: d.Dir, Umask: d.Umask,
		Least: s.config.Confinement, Most: s.config.Confinement,
		// A borg asks by their numbers whether those live that hold a lock.
		HostPIDs: d.Tool == policy.Borg,
		Limits:   s.limitsOf(d),
	}}
	if d.Tool == policy.Rsync {
		if err := c.tell(d); err != nil {
			d.Verdict, d.Refusal = policy.Deny, cannotFollow(err)
			return c, d
		}
	}
	if os.Geteuid() == 0 {
		c.order.User = &sandbox.User{UID: d.User.UID, GID: d.User.GID}
	}
	c.unpack(d)
	if err := c.open(d); err != nil {
		d.Verdict, d.Refusal = policy.Deny, cannotHold(err)
	}
	return c, d
}

// tell has an rsync tell which files it touches. The record of its decision leaves
// that out, and with it the word that its client must not know.
func (c *child) tell(d policy.Decision) error {
	path, remove, err := sandbox.LogPlace(c.order.Most)
	if err != nil {
		return err
	}
	secret := rand.Text()
	c.touched = newTouched(d, secret)
	c.touched.forget = sync.OnceFunc(remove)
	c.order.Log = path
	// Or it would look for the time zone at every line.
	c.order.Env = append(slices.Clone(d.Env), "TZ=UTC0")
	c.order.Args = d.Logged(path, rsynclog.Format(secret, d.Direction == policy.Pull))
	return nil
}

func (s *Server) limitsOf(d policy.Decision) sandbox.Limits {
	limits := sandbox.Limits{Processes: s.processes()}
	// What asks for deletions alone is let in where a folder holds too much.
	limits.NoData = d.Tool == policy.Rsync && d.Writes && !d.Stores
	for to, limit := range map[*uint64]policy.Limit{&limits.Files: d.Limits.Files, &limits.Memory: d.Limits.Memory} {
		if n, ok := limit.Number(); ok {
			*to = uint64(n)
		}
	}
	return limits
}

// cannotFollow is the refusal of a session whose files could not be put on record.
func cannotFollow(err error) *policy.Refusal {
	return &policy.Refusal{Code: "log", Status: policy.ExitRefused,
		Message: "the gateway cannot follow what the program does",
		Remedy:  "tell the gateway's operator to look at its records",
		Detail:  err.Error()}
}

// cannotHold is the refusal of a session whose child cannot be held.
func cannotHold(err error) *policy.Refusal {
	return &policy.Refusal{Code: "confinement", Status: policy.ExitRefused,
		Message: "the gateway cannot hold the program to the allowed paths",
		Remedy:  "tell the gateway's operator to look at its records",
		Detail:  err.Error()}
}

// open opens the folders of the decision's rules. One that is not there yet holds
// nothing to be reached.
func (c *child) open(d policy.Decision) error {
	for _, rule := range d.Rules {
		folder, err := sandbox.OpenPath(rule.Path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		c.order.Paths = append(c.order.Paths, sandbox.Path{
			Path: rule.Path, Writable: d.Writes && rule.Access.MayWrite(), Folder: folder,
		})
		if err := c.belongs(folder, rule, d.User); err != nil {
			return err
		}
	}
	return nil
}

// belongs returns an error unless a folder has the owner still by whom the
// decision chose the child's user.
func (c *child) belongs(folder *os.File, rule policy.Rule, user policy.User) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &stat); err != nil {
		return fmt.Errorf("look at %s: %w", rule.Path, err)
	}
	if _, named := rule.RunAs.User(); !named && c.order.User != nil && stat.Uid != user.UID {
		return fmt.Errorf("%s belonged to uid %d, and to uid %d when it was opened", rule.Path, user.UID, stat.Uid)
	}
	return nil
}

// unpack gives a program a place for temporary files: one that unpacks itself,
// which finds itself by its name, and a borg, which would have them in its
// repository where it sees no other place. A program that cannot be read cannot be
// started either, which is for its start to say.
func (c *child) unpack(d policy.Decision) {
	o := &c.order
	frozen, err := sandbox.Frozen(o.Program)
	switch {
	case err != nil:
		return
	case frozen:
		o.Unpacks, o.Limits.NoData = true, false
		o.Args = append([]string{o.Program}, o.Args[1:]...)
	case d.Tool != policy.Borg || !d.Writes || HoldOf(o.Most) != policy.Everything:
		return
	}
	o.Scratch = scratch
	o.Env = append(o.Env[:len(o.Env):len(o.Env)], "TMPDIR="+scratch)
}
