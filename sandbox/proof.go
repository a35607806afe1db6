package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// outside is what the helper saw of the host before it was confined, and must
// not see again.
type outside struct {
	root sight
	// parents are the folders that contain the rule's paths, and that
	// nothing of the order covers.
	parents map[string]sight
}

// sight is what was seen of a folder. The mode is what an attempt to change it
// gives it, so that one which succeeds changes nothing.
type sight struct {
	identity
	mode, owner uint32
}

func look(path string) (sight, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return sight{}, err
	}
	return sight{identify(&st), st.Mode &^ unix.S_IFMT, st.Uid}, nil
}

// lookOutside remembers what to try later.
func lookOutside(o Order, v *view) (*outside, error) {
	root, err := look("/")
	if err != nil {
		return nil, fmt.Errorf("look at the root: %w", err)
	}
	seen := &outside{root: root, parents: map[string]sight{}}
	for _, p := range o.Paths {
		parent := filepath.Dir(p.Path)
		covered := slices.ContainsFunc(o.Paths, func(p Path) bool { return within(parent, p.Path) }) ||
			slices.ContainsFunc(v.read, func(folder string) bool { return within(parent, folder) }) ||
			o.Scratch != "" && within(parent, o.Scratch)
		if covered || parent == "/" {
			continue
		}
		if seen.parents[parent], err = look(parent); err != nil {
			return nil, fmt.Errorf("look at %s: %w", parent, err)
		}
	}
	return seen, nil
}

// errOpen is a confinement that does not hold. It is fatal: where the kernel
// lets this through, nobody knows what else it lets through.
var errOpen = errors.New("the confinement does not hold")

// prove tries what the level forbids and returns an error if anything of it
// succeeds.
func (s *outside) prove(o Order, p plan) error {
	var holes []error
	try := func(what string, err error) {
		if err == nil {
			holes = append(holes, fmt.Errorf("%w: could %s", errOpen, what))
		}
	}
	if p.Level.namespaces() {
		s.proveHidden(try)
	}
	if p.Level.landlock() {
		s.proveClosed(try)
	}
	if p.Level != None {
		try("open a network socket", attempt(func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0) }))
		proveModes(o, try)
	}
	return errors.Join(holes...)
}

// proveHidden tries to find, and to change, what the new root must not show.
func (s *outside) proveHidden(try func(string, error)) {
	try("see the host's root", differs("/", s.root.identity))
	_, err := identityAt("/proc")
	try("see /proc", err)
	for parent, was := range s.parents {
		try("see the host's "+parent, differs(parent, was.identity))
		try("change the mode of "+parent, unix.Chmod(parent, was.mode))
	}
}

// proveClosed tries to list folders that no rule of Landlock names, and to change
// the mode of one that belongs to somebody else: Landlock does not hold modes, so
// that the child is another user has to.
func (s *outside) proveClosed(try func(string, error)) {
	try("list the root", opens("/", unix.O_RDONLY|unix.O_DIRECTORY))
	for parent := range s.parents {
		try("list "+parent, opens(parent, unix.O_RDONLY|unix.O_DIRECTORY))
	}
	if me := os.Geteuid(); me != 0 && s.root.owner != uint32(me) {
		try("change the mode of the root", unix.Chmod("/", s.root.mode))
	}
}

// proveModes tries to write where the rule only reads. A file without a name
// leaves nothing behind should it succeed.
func proveModes(o Order, try func(string, error)) {
	for _, p := range o.Paths {
		if !p.Writable {
			try("write to "+p.Path, opens(p.Path, unix.O_TMPFILE|unix.O_WRONLY))
		}
	}
}

// differs returns an error unless the path still leads to what it was.
func differs(path string, was identity) error {
	now, err := identityAt(path)
	if err == nil && now != was {
		err = errors.New("it is another")
	}
	return err
}

func opens(path string, flags int) error {
	return attempt(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0o600) })
}

// attempt closes what could be opened.
func attempt(open func() (int, error)) error {
	fd, err := open()
	if err == nil {
		unix.Close(fd)
	}
	return err
}
