package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// verbTree: mktree KIND FOLDER. What a verb makes belongs to the user of the
// children, and links that it makes on the server are as a client would have
// left them there.
func verbTree(ts *testscript.TestScript, w *world, args []string) error {
	path := ts.MkAbs(args[1])
	if err := makeTree(args[0], path); err != nil {
		return err
	}
	if w.munges(path) {
		if err := mungeLinks(path); err != nil {
			return err
		}
	}
	return w.own(path)
}

// verbFile: mkfile FILE SIZE [SEED] makes a file of random bytes.
func verbFile(ts *testscript.TestScript, w *world, args []string) error {
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	seed := uint64(0)
	if len(args) > 2 {
		if seed, err = strconv.ParseUint(args[2], 10, 64); err != nil {
			return err
		}
	}
	path := ts.MkAbs(args[0])
	if err := write(path, random(seed, size), 0o644); err != nil {
		return err
	}
	return errors.Join(setTime(path, epoch), setTime(filepath.Dir(path), epoch), w.own(path))
}

// verbSparse: mksparse FILE SIZE ISLANDS makes a large file fast: holes, with
// so many islands of a random MiB.
func verbSparse(ts *testscript.TestScript, w *world, args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	islands, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	var offsets []int64
	for i := range islands {
		offsets = append(offsets, i*(size/islands))
	}
	path := ts.MkAbs(args[0])
	if err := sparseFile(path, size, 1<<20, offsets...); err != nil {
		return err
	}
	return errors.Join(setTime(path, epoch), setTime(filepath.Dir(path), epoch), w.own(path))
}

// verbFIFO: mkfifo PATH.
func verbFIFO(ts *testscript.TestScript, w *world, args []string) error {
	path := ts.MkAbs(args[0])
	if err := unix.Mkfifo(path, 0o644); err != nil {
		return err
	}
	return errors.Join(setTime(path, epoch), w.own(path))
}

// verbOwn: own PATH... gives to the user of the children what the script has made
// there by other means.
func verbOwn(ts *testscript.TestScript, w *world, args []string) error {
	for _, path := range args {
		if err := w.own(ts.MkAbs(path)); err != nil {
			return err
		}
	}
	return nil
}

// verbSetTimes: settimes FOLDER gives what a script made times of long ago.
// rsync compares times by the second, so that a copy made in the same second as
// its source keeps its own fraction, at some runs.
func verbSetTimes(ts *testscript.TestScript, w *world, args []string) error {
	return errors.Join(setTimes(ts.MkAbs(args[0])), w.own(ts.MkAbs(args[0])))
}

// verbNextDay: nextday FOLDER N changes a mixed tree.
func verbNextDay(ts *testscript.TestScript, w *world, args []string) error {
	day, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return errors.Join(nextDay(ts.MkAbs(args[0]), day), w.own(ts.MkAbs(args[0])))
}

// verbSameTree: sametree [-ignore KIND,KIND] [-skip GLOB] A B.
func verbSameTree(ts *testscript.TestScript, w *world, args []string) error {
	var ignore, skip []string
	for len(args) > 2 {
		switch args[0] {
		case "-ignore":
			ignore = strings.Split(args[1], ",")
		case "-skip":
			skip = append(skip, args[1])
		default:
			return fmt.Errorf("no flag %s", args[0])
		}
		args = args[2:]
	}
	found, err := w.sameTree(ts.MkAbs(args[0]), ts.MkAbs(args[1]), ignore, skip)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%s and %s differ:\n%s", args[0], args[1], strings.Join(found, "\n"))
	}
	return err
}

// verbOddNames: odd-names [RSYNC-OPTION...] SRC NAS sends each folder of
// SRC/folders to its name on the command line, and fetches all of them by name.
func verbOddNames(ts *testscript.TestScript, w *world, args []string) error {
	options, src, nas := args[:len(args)-2], ts.MkAbs(args[len(args)-2]), ts.MkAbs(args[len(args)-1])
	back := filepath.Join(w.work, "odd")
	rsync := func(arguments ...string) error {
		err := ts.Exec("rsync", slices.Concat([]string{"-a", "--mkpath"}, options, arguments)...)
		if err != nil {
			err = fmt.Errorf("rsync %q: %w: %s", arguments, err, ts.ReadFile("stderr"))
		}
		return err
	}
	names, fetch := oddNames, []string(nil)
	if slices.Contains(options, "-s") {
		names = onlySecluded
	}
	for _, name := range names {
		if err := rsync(filepath.Join(src, "folders", name)+"/", "nas:"+filepath.Join(nas, "odd", name)); err != nil {
			return err
		}
		fetch = append(fetch, "nas:odd/"+name)
	}
	if err := rsync(append(fetch, back)...); err != nil {
		return err
	}
	for _, name := range names {
		for _, copied := range []string{filepath.Join(nas, "odd", name), filepath.Join(back, name)} {
			found, err := w.sameTree(filepath.Join(src, "folders", name), copied, nil, nil)
			if err != nil || len(found) > 0 {
				return fmt.Errorf("%q: %q %v", copied, found, err)
			}
		}
	}
	return errors.Join(os.RemoveAll(back), os.RemoveAll(filepath.Join(nas, "odd")))
}

// verbSameFile: [!] samefile A B tells whether two names are one file.
func verbSameFile(ts *testscript.TestScript, neg bool, args []string) {
	a, err := os.Lstat(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.Lstat(ts.MkAbs(args[1]))
	ts.Check(err)
	if os.SameFile(a, b) == neg {
		ts.Fatalf("%s and %s: same file is %v", args[0], args[1], !neg)
	}
}

// verbOccupies: occupies FILE MOST fails when the file takes more bytes of disk.
func verbOccupies(ts *testscript.TestScript, _ *world, args []string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(ts.MkAbs(args[0]), &stat); err != nil {
		return err
	}
	most, err := strconv.ParseInt(args[1], 10, 64)
	if err == nil && stat.Blocks*512 > most {
		err = fmt.Errorf("%s takes %d bytes of disk, more than %d", args[0], stat.Blocks*512, most)
	}
	return err
}
