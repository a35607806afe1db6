// Package policy decides what one request of one client may do.
//
// It is pure: rules, a request and what is known of the host go in, a
// [Decision] comes out. It opens no file, starts no process and reads no clock.
// What it must know of the file system it asks through [Tree], which the
// gateway implements and tests replace by a table.
//
// A decision is not the boundary: it gives good messages and the exact argument
// list of the child. Races, and what travels inside the rsync and borg
// protocols, are the confinement's to stop.
package policy

import (
	"fmt"
	"strconv"
)

// Tool is a program that a rule can allow.
type Tool string

// The tools that postern serves.
const (
	Rsync Tool = "rsync"
	Borg  Tool = "borg"
)

// Access is the direction in which a rule lets data flow. The zero value
// allows neither.
type Access int

// The access modes of a rule, as seen by the client: read-only pulls,
// write-only pushes.
const (
	NoAccess Access = iota
	ReadOnly
	WriteOnly
	ReadWrite
)

// String returns the spelling of the configuration file.
func (a Access) String() string {
	switch a {
	case ReadOnly:
		return "read-only"
	case WriteOnly:
		return "write-only"
	case ReadWrite:
		return "read-write"
	}
	return "none"
}

// MayRead reports whether data may leave the gateway.
func (a Access) MayRead() bool { return a == ReadOnly || a == ReadWrite }

// MayWrite reports whether data may enter the gateway.
func (a Access) MayWrite() bool { return a == WriteOnly || a == ReadWrite }

// Limit is a number, mostly of bytes, that may be absent. The zero value is
// absent, which means unlimited; a limit of zero is a limit.
type Limit struct {
	number int64
	set    bool
}

// LimitOf returns a limit of n.
func LimitOf(n int64) Limit { return Limit{number: n, set: true} }

// Number returns the limit, and whether there is one.
func (l Limit) Number() (n int64, ok bool) { return l.number, l.set }

// String returns the limit, or "unlimited".
func (l Limit) String() string {
	if !l.set {
		return "unlimited"
	}
	return strconv.FormatInt(l.number, 10)
}

// User is a user and a group of this host.
type User struct{ UID, GID uint32 }

// String returns both numbers, as chown takes them.
func (u User) String() string { return fmt.Sprintf("%d:%d", u.UID, u.GID) }

// RunAs is the user that a rule names for its children. The zero value names
// none, which means the owner of the rule's path.
type RunAs struct {
	user User
	set  bool
}

// RunAsUser names a user.
func RunAsUser(u User) RunAs { return RunAs{user: u, set: true} }

// User returns the user, and whether one is named.
func (r RunAs) User() (User, bool) { return r.user, r.set }

// Limits bounds what each child of a client can take of the host. An absent one
// leaves the default.
type Limits struct {
	// Files is how many files a process has open at most.
	Files Limit
	// Memory is the address space of a process.
	Memory Limit
}

// Rule is one permission of a client. The zero value allows nothing.
type Rule struct {
	// Tool is the program that the rule allows.
	Tool Tool
	// Path is the folder that the rule is about: absolute, clean, without
	// symbolic links, never "/".
	Path string
	// Access is the direction. Borg takes only [ReadWrite], and for borg 2
	// [ReadOnly] and [WriteOnly] too.
	Access Access
	// Delete allows the options by which rsync removes files. Rsync only.
	Delete bool
	// Overwrite allows a transfer to change a file that exists. Rsync only.
	Overwrite bool
	// Rooted makes "/" mean Path, as rrsync does. Rsync only.
	Rooted bool
	// MungeLinks makes the symbolic links of the rule inert on this host
	// (--munge-links of rsync). Rsync only.
	MungeLinks bool
	// AppendOnly lets borg add to a repository but not shrink it. Borg only.
	AppendOnly bool
	// Quota is the size in bytes at which a borg repository stops growing, and
	// which the folder of an rsync rule may hold.
	Quota Limit
	// MaxFiles is how many files, folders and links Path may hold. Rsync only.
	MaxFiles Limit
	// OneWriter has a session that can change something in Path wait until no
	// other one can in the same folder, above it or below it.
	OneWriter bool
	// Wait is for how many seconds at most a session waits for another that
	// writes; absent leaves the default, and zero does not wait.
	Wait Limit
	// RunAs is whom the children of a gateway that runs as root run as.
	RunAs RunAs
	// MinFree is the free space of Path's file system below which no session
	// begins that could write, and a push of rsync ends.
	MinFree Limit
	// Where is the place of the rule in its file, as file:line, for messages.
	Where string
}

// Program is one program that the operator configured.
type Program struct {
	// Path is the absolute path of the binary; empty means not installed.
	Path string
	// Version is what the binary said of itself, such as "3.2.7"; empty
	// means unknown.
	Version string
	// Aliases are the names, beside the ones that postern knows, by which
	// clients call the program. Each is compared whole.
	Aliases []string
}

// Installed reports whether the program can be started.
func (p Program) Installed() bool { return p.Path != "" }

// Hold says how far the kernel keeps a child to its rule's path. The values are
// in order, and the zero value is the least.
type Hold int

const (
	// Unheld is a child that only its arguments hold.
	Unheld Hold = iota
	// Contents cannot be read, made, changed or removed outside the path. What
	// is outside can be looked up and, where it belongs to the child's user, be
	// given another mode, owner, time or attribute. That is Landlock.
	Contents
	// Everything outside has no name for the child. That takes namespaces.
	Everything
)

// Host is what a decision must know of the machine that it is for.
type Host struct {
	Rsync Program
	// Borg is borg 1.x.
	Borg Program
	// Borg2 is borg 2.x, whose protocol and options differ.
	Borg2 Program
	// Home is the HOME of every child: a folder that no client can write.
	Home string
	// Hold is what the kernel does for every child.
	Hold Hold
	// AcceptUnconfined lets an rsync with known holes run where nothing holds
	// it.
	AcceptUnconfined bool
	// User is whom the gateway runs as. Root becomes another user for each
	// child; everybody else stays.
	User User
	// BorgHostID is the name of this gateway in the locks of repositories
	// (BORG_HOST_ID).
	BorgHostID string
}

// Tree answers what a decision must know of the file system. Every path is
// absolute and clean. Answers are advice for messages and argument lists: the
// tree can change the moment after.
type Tree interface {
	// IsDir reports whether path is a folder, following symbolic links.
	IsDir(path string) bool
	// Exists reports whether path names anything, not following a symbolic
	// link in the last component.
	Exists(path string) bool
	// Names lists the entries of the folder, or nothing where it cannot.
	Names(folder string) []string
	// Escapes reports whether path, with the symbolic links on the way
	// followed, leads out of root. With follow the last component is
	// followed too. What does not exist does not escape.
	Escapes(root, path string, follow bool) bool
	// StrayLink returns a symbolic link below root that leads out of it, or
	// "" where there is none.
	StrayLink(root string) string
	// Owner returns the user that the folder belongs to, with the group that
	// the user's files get.
	Owner(folder string) (User, bool)
	// Free returns how many bytes the file system of the folder has for users.
	Free(folder string) (int64, bool)
}

// Verdict is what becomes of a request. The zero value refuses.
type Verdict int

// The verdicts. Answer stands for a probe that the gateway answers itself,
// without a child.
const (
	Deny Verdict = iota
	Allow
	Answer
)

// String returns the verdict as the records spell it.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Answer:
		return "answer"
	}
	return "deny"
}

// Direction says which way the data of a request flows.
type Direction string

// The directions: a pull leaves the gateway, a push enters it, borg does both.
const (
	Pull  Direction = "pull"
	Push  Direction = "push"
	Serve Direction = "serve"
)

// Decision is what the gateway does with one request. The zero value is a
// refusal without a reason, which no function returns.
type Decision struct {
	Verdict Verdict
	// Refusal is why, when the verdict is [Deny].
	Refusal *Refusal
	// Answer is what to print, when the verdict is [Answer].
	Answer string
	// Tool and Direction are what the request asked for, as far as it was
	// understood; empty where it was not.
	Tool      Tool
	Direction Direction
	// Rules are the rules that the verdict rests on: one for rsync, all of
	// the client's for borg; none where the request reached none.
	Rules []Rule
	// Program is the absolute path of the binary to start.
	Program string
	// Args is the whole argument list, the program's name first.
	Args []string
	// Env is the whole environment.
	Env []string
	// Dir is the working directory, inside the first rule's path.
	Dir string
	// Umask is the file mode creation mask of the child.
	Umask int
	// User is whom the child runs as.
	User User
	// Writes says that the child may have to change something, and Stores that
	// the request can add to what is kept: for rsync a push that is no dry run.
	Writes, Stores bool
	// Dry says that an rsync only tells what it would do.
	Dry bool
	// Limits bounds the child.
	Limits Limits
}

// Exit statuses towards clients. Clients read 255 as a broken connection, so
// nothing here returns it.
const (
	ExitRefused      = 126
	ExitNotInstalled = 127
)

// Refusal says why a request was refused.
type Refusal struct {
	// Code names the reason in one word for records and filters, such as
	// "path-outside".
	Code string
	// Message is the reason as the client may read it: lower case, foreign
	// text quoted.
	Message string
	// Remedy is what to change, for the client.
	Remedy string
	// Detail is what only the operator reads; empty where Message is all.
	Detail string
	// Line is the line of the client's file that would allow the request,
	// such as "delete: true"; empty where none would.
	Line string
	// Status is the exit status towards the client.
	Status int
}

// Error returns the line that the client reads, without the program's name.
func (r *Refusal) Error() string {
	if r.Remedy == "" {
		return r.Message
	}
	return r.Message + "; " + r.Remedy
}
