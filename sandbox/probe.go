package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobodyID is the user and the group that own nothing, by custom and by the
// kernel's default (/proc/sys/kernel/overflowuid).
const nobodyID = 65534

// Ability is what this host gives to children, and what keeps it from more.
type Ability struct {
	// Level is the strongest that a child was really started with.
	Level Level
	// LandlockABI is the kernel's version of Landlock, zero without.
	LandlockABI int
	// UserNamespace says that namespaces come with one of users. If this
	// process is not root, files of all other users then belong to nobody in
	// the eyes of a child.
	UserNamespace bool
	// Hints name, in words for an operator, what would raise the level.
	Hints []string
}

// Probe starts children that stop right before they would run a program, and
// tells which confinement they got. self is as for [Start].
func Probe(self string) Ability {
	h := lookAtHost()
	a := Ability{Level: None, LandlockABI: h.abi}
	var refusals []error
	for _, plan := range h.plans(None, Full) {
		err := rehearse(self, plan)
		if err == nil {
			a.Level, a.UserNamespace = plan.Level, plan.UserNamespace
			break
		}
		refusals = append(refusals, fmt.Errorf("%s: %w", plan.Level, err))
	}
	if !a.Level.landlock() {
		a.Hints = append(a.Hints, h.landlockHint())
	}
	if !a.Level.namespaces() {
		a.Hints = append(a.Hints, h.namespaceHint())
	}
	if !h.filter {
		a.Hints = append(a.Hints, "a kernel for amd64 or arm64 with CONFIG_SECCOMP_FILTER, without which there is no other confinement")
	}
	for _, refusal := range refusals {
		a.Hints = append(a.Hints, "tried "+refusal.Error())
	}
	return a
}

// rehearse confines a helper as planned, with an empty folder to read.
func rehearse(self string, p plan) error {
	program, err := filepath.EvalSymlinks(self)
	if err != nil {
		return err
	}
	dir, remove, err := newTemporary(probeFolder)
	if err != nil {
		return err
	}
	defer remove()
	o := Order{
		Program: program, Args: []string{program}, Dir: "/", Umask: 0o077,
		Paths: []Path{{Path: dir}}, Least: p.Level, Most: p.Level,
	}
	if os.Geteuid() == 0 {
		o.User = anyone()
	}
	o, closeOpened, err := o.openPaths()
	if err != nil {
		return err
	}
	defer closeOpened()
	p.Rehearse = true
	l := &launch{}
	defer l.closeAll()
	child, err := l.start(self, o, p)
	if err == nil {
		child.Wait()
	}
	return err
}

// anyone is a user whom root may become: nobody, or where a namespace of users
// has none, root itself.
func anyone() *User {
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		has := func(m syscall.SysProcIDMap) bool {
			return m.ContainerID <= nobodyID && nobodyID-m.ContainerID < m.Size
		}
		if !slices.ContainsFunc(everyone(file), has) {
			return &User{}
		}
	}
	return &User{UID: nobodyID, GID: nobodyID}
}

// landlockHint says what would give Landlock.
func (h host) landlockHint() string {
	switch {
	case errors.Is(h.abiErr, unix.EOPNOTSUPP):
		return "landlock: this kernel has it switched off; add landlock to the lsm= parameter of its command line"
	case errors.Is(h.abiErr, unix.EPERM), errors.Is(h.abiErr, unix.EACCES):
		return "landlock: the container's filter of system calls forbids it; update the container runtime, or allow landlock_create_ruleset, landlock_add_rule and landlock_restrict_self"
	}
	if h.abi >= leastABI {
		return fmt.Sprintf("landlock: this kernel has version %d of it, and still refuses", h.abi)
	}
	return fmt.Sprintf("landlock: this kernel has version %d of it, and %d is needed; use Linux 5.19 or later with CONFIG_SECURITY_LANDLOCK", h.abi, leastABI)
}

// userNamespaceSwitches are the files of /proc/sys that forbid namespaces of
// users, with the value that does.
var userNamespaceSwitches = []struct{ name, forbids, allows string }{
	{"kernel/unprivileged_userns_clone", "0", "1"},
	{"kernel/apparmor_restrict_unprivileged_userns", "1", "0"},
	{"user/max_user_namespaces", "0", "1024"},
}

// namespaceHint says what would give namespaces.
func (h host) namespaceHint() string {
	hint := "namespaces: run the gateway as root with CAP_SYS_ADMIN (in a container: --cap-add SYS_ADMIN)"
	var switches []string
	for _, s := range userNamespaceSwitches {
		if value, err := os.ReadFile(filepath.Join("/proc/sys", s.name)); err == nil && strings.TrimSpace(string(value)) == s.forbids {
			switches = append(switches, "sysctl "+strings.ReplaceAll(s.name, "/", ".")+"="+s.allows)
		}
	}
	if len(switches) > 0 {
		hint += ", or allow user namespaces: " + strings.Join(switches, ", ")
	}
	if h.admin {
		hint = "namespaces: root has CAP_SYS_ADMIN here, and the kernel or a security module still refuses"
	}
	return hint
}

// String is the level with the means behind it, for a log.
func (a Ability) String() string {
	text := a.Level.String() + " (Landlock " + strconv.Itoa(a.LandlockABI)
	if a.UserNamespace {
		text += ", user namespace"
	}
	return text + ")"
}
