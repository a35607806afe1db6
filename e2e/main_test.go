// Package e2e holds the scripts that start the real postern and talk to it
// with stock clients: ssh, rsync of two ages, borg, dropbear, plink, paramiko.
//
// A script says what a person would type; verbs such as "server", "client" and
// "sametree" set the scene and compare the outcome (see verbs_test.go). Scripts
// under testdata/same must behave as under OpenSSH, and are shown to: with
// POSTERN_E2E_BASELINE=sshd every one of them runs against a stock sshd instead
// of postern, and [TestAsUnderSSHD] always does so for some.
//
// The suite needs root: for owners, for a gateway of another user, and for mounts
// that only its own processes see. It needs both rsync versions of tools_test.go;
// POSTERN_E2E_RSYNC_OLD and POSTERN_E2E_RSYNC_NEW name them where PATH does not. A
// missing tool fails the suite; nothing is skipped.
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Environment variables by which the suite hands things to its own parts.
const (
	envBaseline = "POSTERN_E2E_BASELINE" // "sshd": every script against sshd
	envBinary   = "POSTERN_E2E_BINARY"   // the postern that was built
	envPlain    = "POSTERN_E2E_PLAIN"    // the same without the race detector
	envRoot     = "POSTERN_E2E_ROOT"     // the folder that holds everything
)

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){
		"inside":  insideMain,
		"clocked": clockedMain,
		"connect": connectMain,
	})
}

// suite builds postern once, before the tests, and cleans up after them.
type suite struct{ m *testing.M }

// Run is called by [testscript.Main], and not when the test binary runs as one
// of its own helper commands.
func (s suite) Run() int {
	syscall.Umask(0o022)
	// Scripts wait more than they compute. A -parallel that was given wins: it
	// is read after this.
	flag.Set("test.parallel", strconv.Itoa(3*runtime.NumCPU()))
	folder, err := os.MkdirTemp("", "postern-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	if err := prepare(folder); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return s.m.Run()
}

// prepare checks the tools and builds the binary under test in the folder.
func prepare(folder string) error {
	// Servers that run as another user must reach the folders below.
	if err := os.Chmod(folder, 0o711); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("the scripts need root, for owners, for users and for mounts of their own")
	}
	os.Setenv(envRoot, folder)
	if _, err := findTools(); err != nil {
		return err
	}
	if onlyBaseline() {
		return nil
	}
	plain := filepath.Join(folder, "postern-plain")
	os.Setenv(envBinary, plain)
	os.Setenv(envPlain, plain)
	if err := build(plain); err != nil {
		return err
	}
	if err := learnLevels(folder); err != nil || !raceEnabled {
		return err
	}
	watched := filepath.Join(folder, "postern")
	os.Setenv(envBinary, watched)
	return build(watched, "-race")
}

// build makes postern.
func build(to string, flags ...string) error {
	args := append(append([]string{"build", "-o", to}, flags...), "../cmd/postern")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build ../cmd/postern: %w\n%s", err, out)
	}
	return os.Chmod(to, 0o755)
}

func onlyBaseline() bool { return os.Getenv(envBaseline) == "sshd" }
