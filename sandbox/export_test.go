package sandbox

import "golang.org/x/sys/unix"

// LikeAContainer takes from this process what a container takes whose filter
// forbids mounts and namespaces.
func LikeAContainer() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	var f filter
	f.load(dataNumber)
	for _, number := range []uint32{unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_UNSHARE, unix.SYS_SETNS} {
		f.on(number, refused)
	}
	f.on(unix.SYS_CLONE3, absent)
	f.when(unix.SYS_CLONE, func(f *filter) {
		f.argument(0)
		f.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, foreignFlags, 0, 1)
		f.give(refused)
	})
	f.give(unix.SECCOMP_RET_ALLOW)
	return f.install()
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
