package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cloneFlags are the namespaces of every child; most have one of processes too.
const cloneFlags = unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// host is what this process can tell without trying.
type host struct {
	abi    int
	abiErr error
	filter bool
	// admin says that namespaces can be had without one of users.
	admin bool
}

func lookAtHost() host {
	h := host{filter: canFilter(), admin: os.Geteuid() == 0 && capabilities()&(1<<unix.CAP_SYS_ADMIN) != 0}
	h.abi, h.abiErr = landlockABI()
	return h
}

// plans lists the ways to confine that are worth trying, the strongest first.
func (h host) plans(least, most Level) []plan {
	landlock := h.filter && h.abi >= leastABI && most.landlock()
	var list []plan
	add := func(p plan) {
		if p.Level.Includes(least) {
			list = append(list, p)
		}
	}
	if h.filter && most.namespaces() {
		add(plan{Level: combine(true, landlock), ABI: h.abi, UserNamespace: !h.admin})
	}
	add(plan{Level: combine(false, landlock), ABI: h.abi})
	return list
}

// lacks names what this process can tell to be missing.
func (h host) lacks() []error {
	var list []error
	if !h.filter {
		list = append(list, errors.New("this kernel or architecture has no filter of system calls"))
	}
	switch {
	case h.abiErr != nil:
		list = append(list, fmt.Errorf("ask for Landlock: %w", h.abiErr))
	case h.abi < leastABI:
		list = append(list, fmt.Errorf("landlock version %d cannot move files between folders", h.abi))
	}
	return list
}

// attributes are how the helper is started.
func (p plan) attributes(o Order) *syscall.SysProcAttr {
	sys := &syscall.SysProcAttr{Setpgid: true}
	if !p.Level.namespaces() {
		return sys
	}
	sys.Cloneflags = cloneFlags
	if p.ownPIDs(o) {
		sys.Cloneflags |= unix.CLONE_NEWPID
	}
	if !p.UserNamespace {
		return sys
	}
	sys.Cloneflags |= unix.CLONE_NEWUSER
	if os.Geteuid() == 0 {
		// Root without CAP_SYS_ADMIN: everyone stays who they are.
		sys.UidMappings, sys.GidMappings = everyone("/proc/self/uid_map"), everyone("/proc/self/gid_map")
		sys.GidMappingsEnableSetgroups = true
		return sys
	}
	// The user stays who it is, and everyone else becomes nobody. An exec
	// takes the new namespace's capabilities from all but its root, unless
	// they are ambient.
	sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	sys.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}
	return sys
}

// everyone maps all users (or groups) of the namespace that a file of /proc
// describes to themselves.
func everyone(file string) []syscall.SysProcIDMap {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var list []syscall.SysProcIDMap
	for line := range strings.Lines(string(text)) {
		var inside, outside, size int
		if _, err := fmt.Sscan(line, &inside, &outside, &size); err == nil {
			list = append(list, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: size})
		}
	}
	return list
}
