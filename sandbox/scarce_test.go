package sandbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

// enoughDescriptors are more descriptors than a start needs.
const enoughDescriptors = 100

// A gateway that runs out of descriptors at any point of a start leaves none behind,
// and starts nothing whose log it has not got.
func TestStartWithoutDescriptors(t *testing.T) {
	for _, level := range []sandbox.Level{sandbox.None, sandbox.Full} {
		t.Run(level.String(), func(t *testing.T) {
			o := at(t, shell(t, `exit 0`), level)
			folder, failed := t.TempDir(), 0
			for limit := uint64(len(openNow(t))); ; limit++ {
				o.Log = filepath.Join(folder, strconv.Itoa(failed))
				if level.Includes(namespaces) {
					o.Log = "/dev/log"
				}
				before := openNow(t)
				p, err := startWithin(t, o, limit)
				if err == nil {
					p.Kill()
					p.Wait()
					if p.Log == nil {
						t.Error("the child ran without a log")
					}
					p.Log.Close()
				}
				left := slices.DeleteFunc(openNow(t), func(fd string) bool { return slices.Contains(before, fd) })
				if len(left) > 0 {
					t.Fatalf("a start with %d descriptors at most left %v open: %v", limit, left, err)
				}
				if err == nil {
					break
				}
				if failed++; failed > enoughDescriptors {
					t.Fatalf("a start fails with %d descriptors: %v", limit, err)
				}
			}
			// Five pipes and a socket are tried one after the other.
			if failed < 6 {
				t.Errorf("only %d starts failed", failed)
			}
		})
	}
}

// startWithin starts an order while this process may have descriptors up to a limit.
func startWithin(t *testing.T, o sandbox.Order, limit uint64) (*sandbox.Process, error) {
	t.Helper()
	var own unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &own); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: own.Max}, nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &own, nil); err != nil {
			t.Fatal(err)
		}
	}()
	return sandbox.Start(self, o)
}

// openNow lists the descriptors of this process.
func openNow(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
