package sandbox_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWhatEachLevelStops(t *testing.T) {
	for _, s := range starters() {
		for _, l := range levels {
			for _, writable := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/writable=%v", s.name, l, writable), func(t *testing.T) {
					t.Parallel()
					s := s.strange()
					base := battlefield(t, s.child)
					compare(t, s.attack(t, base, s.order(t, base, l), writable), l, writable, s.child.UID == 0)
				})
			}
		}
	}
}

// abilities are files that a kernel has with which an attack works.
var abilities = map[string]string{
	"load a module":       "/proc/modules",
	"load another kernel": "/sys/kernel/kexec_loaded",
	"use io_uring":        "/proc/sys/kernel/io_uring_disabled",
}

// Where nothing holds it, each attack works: as root, with a descriptor that
// somebody forgot.
func TestAttacksAreAttacks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, who may do everything")
	}
	s := starter{name: "root"}
	base := battlefield(t, s.child)
	numbers, err := json.Marshal([]int{startBystander(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	forgotten, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer forgotten.Close()
	cmd := s.run(t, filepath.Join(base, "program"), attackVerb, allWord, base)
	cmd.Stdin = strings.NewReader(string(numbers))
	cmd.Env = append(cmd.Env, nothingOpen)
	cmd.ExtraFiles = []*os.File{forgotten}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var got [][]string
	if err != nil || json.Unmarshal(out, &got) != nil {
		t.Fatalf("%v: %s %s", err, out, &complaint)
	}
	for _, a := range attacks() {
		switch _, err := os.Stat(abilities[a.name]); {
		case slices.Contains(got[0], a.name):
		case err != nil && abilities[a.name] != "":
			t.Logf("%s: this kernel cannot, there is no %s", a.name, abilities[a.name])
		default:
			t.Errorf("%s: does not work", a.name)
		}
	}
}
