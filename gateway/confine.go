package gateway

import (
	"fmt"
	"os"
	"syscall"

	"postern/policy"
	"postern/sandbox"
)

// scratch is where a program that unpacks itself does so, and sees nothing else.
const scratch = "/tmp"

// startChild starts what a decision allows.
func (s *Server) startChild(d policy.Decision) (*sandbox.Process, error) {
	o, err := s.order(d)
	if err != nil {
		return nil, err
	}
	return sandbox.Start(s.config.Self, o)
}

// order is the child of a decision, held to the folders of its rules. Whatever
// the host cannot do for it is an error, so that no child runs with less
// confinement than was promised when the gateway started.
func (s *Server) order(d policy.Decision) (sandbox.Order, error) {
	o := sandbox.Order{
		Program: d.Program, Args: d.Args, Env: d.Env, Dir: d.Dir, Umask: d.Umask,
		Least: s.config.Confinement, Most: s.config.Confinement,
	}
	for _, rule := range d.Rules {
		// A folder that is not there yet holds nothing to be reached.
		if (tree{}).IsDir(rule.Path) {
			o.Paths = append(o.Paths, sandbox.Path{Path: rule.Path, Writable: rule.Access.MayWrite()})
		}
	}
	frozen, err := sandbox.Frozen(d.Program)
	if err != nil {
		return o, err
	}
	if frozen {
		o.Scratch = scratch
		o.Env = append(o.Env[:len(o.Env):len(o.Env)], "TMPDIR="+scratch)
		o.Args = append([]string{d.Program}, o.Args[1:]...)
	}
	if os.Geteuid() == 0 {
		o.User, err = s.user(d.Dir)
	}
	return o, err
}

// user returns whom the children of a gateway that runs as root run as. Where
// they are confined that is the owner of their folder, which they see whatever
// the folders above it allow.
func (s *Server) user(folder string) (*sandbox.User, error) {
	if s.config.Confinement == sandbox.None {
		return &sandbox.User{}, nil
	}
	return ownerOf(folder)
}

// ownerOf returns the owner of a folder.
func ownerOf(folder string) (*sandbox.User, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("%s has no owner", folder)
	}
	return &sandbox.User{UID: stat.Uid, GID: stat.Gid}, nil
}
