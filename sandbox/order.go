// Package sandbox starts the program that a decision names, and nothing but
// that program.
//
// A child is started in two steps. [Start] runs the gateway's own binary again
// with a hidden verb; there [Main] prepares the process and then becomes the
// program by exec. Between the two the kernel is asked to hold the child to its
// rule: only a process that is not the gateway can give up rights without taking
// them from the gateway. [Level] says what the kernel can do.
//
// A child in namespaces of its own has the helper as the first process of its
// process namespace, and is a child of it: the first process would have no
// default actions for signals, and would have to look after orphans.
//
// The package holds no policy: it starts what an [Order] says. Who may order
// what is decided elsewhere.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxOrder bounds what the helper reads. An argument list that exec accepts is
// at most 2 MiB under the usual stack limit; the encoding adds a third.
const maxOrder = 8 << 20

// Order is everything about a child. What it does not name the child does not
// get: no variable, no descriptor above 2, no other working directory and, as
// far as the level goes, no other file.
type Order struct {
	// Program is the absolute path of the binary, or of a script with its
	// interpreter in the first line.
	Program string
	// Args is the whole argument list, the program's name first.
	Args []string
	// Env is the whole environment, as NAME=VALUE.
	Env []string
	// Dir is the absolute path of the working directory, which must be
	// visible to the child: "/" always is.
	Dir string
	// Umask is the file mode creation mask.
	Umask int

	// Paths are the folders of the child's rule.
	Paths []Path
	// Reads are absolute paths that the program reads beside those that are
	// found: it, its interpreter, their libraries and a few files of /etc. A
	// path that does not exist is passed over.
	Reads []string
	// Scratch is the absolute path of an empty folder in which the child may
	// write files, or "". With namespaces the child sees a temporary file
	// system of its own there.
	Scratch string
	// Unpacks lets the child run what is in Scratch. Only a program that
	// unpacks itself needs that: see [Frozen].
	Unpacks bool

	// User is whom the child runs as. Nil is the gateway's own user, and an
	// error where that is root: a child is root only by name.
	User   *User
	Limits Limits

	// Log is "", or a path that [LogPlace] gave: the child can open it to
	// write, and the gateway reads it as Process.Log.
	Log string

	// HostPIDs leaves the child its number on this host: it gets no process
	// namespace, and no first process above it. A program that writes its
	// number where others of its kind read it, and asks the kernel whether
	// theirs still live, needs that; borg's repository locks are such a place.
	//
	// The child then learns of a number whether somebody has it, and reaches
	// nobody: it may signal itself alone.
	HostPIDs bool

	// Least is the least confinement with which the child may run; unsaid it
	// is [Full]. Most is the most that is asked for; unsaid it is [Full].
	// Between them the child gets what the host can give. A host that lost an
	// ability gives less than before, so the gateway asks for what [Probe]
	// found when it started.
	Least, Most Level
}

// Path is a folder that a child works in.
type Path struct {
	// Path is the absolute path of the folder, which the child sees under
	// the same name.
	Path string
	// Writable lets the child change what is in it. Reading and listing
	// cannot be taken from a receiver: rsync opens its temporary files for
	// both, and since 3.5.0 each folder whose mode it sets. Without the right
	// to list it leaves those modes as they are and says nothing.
	Writable bool
	// Folder is the folder as [OpenPath] opened it when the decision was
	// made; nil lets [Start] open it. Start does not close it.
	Folder *os.File
}

// User is a user and a group. The child has no supplementary groups when root
// starts it, and the gateway's when someone else does.
type User struct{ UID, GID uint32 }

// Limits bounds what a child can take from the others. Zero is the default, not
// "unlimited". A limit of the gateway's own that is lower stays.
type Limits struct {
	// Memory is in bytes of address space for each process; the default is
	// three quarters of the machine's memory, and 1 GiB at least.
	Memory uint64
	// Files is how many descriptors a process has at most; the default is
	// 1024.
	Files uint64
	// NoData lets nothing be written into any file. Files and folders can be made,
	// renamed and removed.
	NoData bool
	// Processes counts those of the child's user; the default is 1024. In a
	// user namespace it counts the child's alone. Root has no such limit.
	Processes uint64
}

// check names what is wrong with an order that exec, chdir or the confinement
// would read differently than its author meant it.
func (o Order) check() error {
	if !filepath.IsAbs(o.Program) {
		return fmt.Errorf("program %q is not an absolute path", o.Program)
	}
	if !filepath.IsAbs(o.Dir) {
		return fmt.Errorf("working directory %q is not an absolute path", o.Dir)
	}
	if len(o.Args) == 0 {
		return errors.New("the argument list lacks the program's name")
	}
	if o.Umask < 0 || o.Umask > 0o777 {
		return fmt.Errorf("umask %#o is out of range", o.Umask)
	}
	for _, word := range slices.Concat([]string{o.Program, o.Dir, o.Scratch}, o.Args, o.Env, o.Reads) {
		if strings.ContainsRune(word, 0) {
			return fmt.Errorf("%q contains a NUL byte", word)
		}
	}
	return o.checkConfinement()
}

func (o Order) checkConfinement() error {
	if !o.most().Includes(o.least()) {
		return fmt.Errorf("at least %s and at most %s contradict each other", o.least(), o.most())
	}
	for _, p := range o.Paths {
		if err := p.check(); err != nil {
			return err
		}
	}
	for _, path := range o.Reads {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%q, which the program reads, is not an absolute path", path)
		}
	}
	if o.Unpacks && o.Scratch == "" {
		return errors.New("there is no scratch folder to unpack into")
	}
	if o.Scratch != "" && !isPlace(o.Scratch) {
		return fmt.Errorf("scratch folder %q is not the clean absolute path of a folder below the root", o.Scratch)
	}
	if o.Log != "" && !isPlace(o.Log) {
		return fmt.Errorf("log %q is not the clean absolute path of a file", o.Log)
	}
	if o.User == nil && os.Geteuid() == 0 {
		return errors.New("root starts a child only as a user that the order names")
	}
	return nil
}

func (p Path) check() error {
	if !isPlace(p.Path) {
		return fmt.Errorf("path %q is not the clean absolute path of a folder below the root", p.Path)
	}
	return nil
}

// isPlace reports whether a path can be given to a child as a place of its own.
func isPlace(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && path != "/" && !strings.ContainsRune(path, 0)
}

func (o Order) least() Level { return o.Least.or(Full) }
func (o Order) most() Level  { return o.Most.or(Full) }

// writable reports whether there is anything that the child may change.
func (o Order) writable() bool {
	return o.Scratch != "" || slices.ContainsFunc(o.Paths, func(p Path) bool { return p.Writable })
}

// plan is how the helper is to confine: what [Start] decided from the order and
// from what this host seems to have.
type plan struct {
	Level Level
	// ABI is the Landlock to use.
	ABI int
	// UserNamespace says that the namespaces hang below one of users.
	UserNamespace bool
	// Rehearse ends the helper where it would start the program.
	Rehearse bool
}

// ownPIDs reports whether the child has a process namespace, and with it a
// helper above it.
func (p plan) ownPIDs(o Order) bool { return p.Level.namespaces() && !o.HostPIDs }

// wire is an order and its plan on their way to the helper. Words are bytes,
// because JSON strings would replace what is not UTF-8, and file names need not
// be. The folders of the paths follow the other descriptors, in order.
type wire struct {
	Program, Dir      []byte
	Scratch, Log      []byte
	Args, Env, Reads  [][]byte
	Umask             int
	Unpacks, HostPIDs bool
	Paths             []wirePath
	User              *User
	Limits            Limits
	Plan              plan
}

type wirePath struct {
	Path     []byte
	Writable bool
}

// write sends the order to the helper.
func (o Order) write(w io.Writer, p plan) error {
	out := wire{
		Program: []byte(o.Program), Dir: []byte(o.Dir), Scratch: []byte(o.Scratch), Log: []byte(o.Log),
		Args: words[[]byte](o.Args), Env: words[[]byte](o.Env), Reads: words[[]byte](o.Reads),
		Umask: o.Umask, Unpacks: o.Unpacks, HostPIDs: o.HostPIDs, User: o.User, Limits: o.Limits, Plan: p,
	}
	for _, path := range o.Paths {
		out.Paths = append(out.Paths, wirePath{[]byte(path.Path), path.Writable})
	}
	return json.NewEncoder(w).Encode(out)
}

// readOrder is what the helper reads; the result has been checked. Its folders
// are the descriptors from first on.
func readOrder(r io.Reader, first int) (Order, plan, error) {
	var got wire
	if err := json.NewDecoder(io.LimitReader(r, maxOrder)).Decode(&got); err != nil {
		return Order{}, plan{}, fmt.Errorf("read the order: %w", err)
	}
	o := Order{
		Program: string(got.Program), Dir: string(got.Dir), Scratch: string(got.Scratch), Log: string(got.Log),
		Args: words[string](got.Args), Env: words[string](got.Env), Reads: words[string](got.Reads),
		Umask: got.Umask, Unpacks: got.Unpacks, HostPIDs: got.HostPIDs, User: got.User, Limits: got.Limits,
		Least: got.Plan.Level, Most: got.Plan.Level,
	}
	for i, path := range got.Paths {
		folder := os.NewFile(uintptr(first+i), string(path.Path))
		o.Paths = append(o.Paths, Path{Path: string(path.Path), Writable: path.Writable, Folder: folder})
	}
	return o, got.Plan, o.check()
}

// words converts a list between strings and bytes.
func words[To, From []byte | string](from []From) []To {
	to := make([]To, len(from))
	for i, word := range from {
		to[i] = To(word)
	}
	return to
}
