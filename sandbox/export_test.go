package sandbox

import "golang.org/x/sys/unix"

// LikeAContainer takes from this process what a container takes whose filter
// forbids mounts and namespaces.
func LikeAContainer() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return calls(held{writable: true}).install()
}

// StartWithABI starts an order at level landlock, by an older version of it.
func StartWithABI(self string, o Order, abi int) (*Process, error) {
	o, closeOpened, err := o.openPaths()
	if err != nil {
		return nil, err
	}
	defer closeOpened()
	l := &launch{}
	defer l.closeAll()
	return l.start(self, o, plan{Level: Landlock, ABI: abi})
}
