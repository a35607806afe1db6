package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// envLevel begins the names of the variables that hold what this host gives, by
// the uid of the gateway.
const envLevel = "POSTERN_E2E_LEVEL_"

// learnLevels asks the postern that was built what this host gives to gateways of
// root and of another user. Tests that need more are skipped, and say so.
func learnLevels(folder string) error {
	for _, uid := range []int{root, backupUser} {
		level, err := levelFor(uid, folder)
		if err != nil {
			return fmt.Errorf("what this host gives to a gateway of uid %d: %w", uid, err)
		}
		os.Setenv(envLevel+strconv.Itoa(uid), level)
	}
	return nil
}

// levelFor makes a gateway for nobody and has it checked.
func levelFor(uid int, folder string) (string, error) {
	gateway := filepath.Join(folder, "level-"+strconv.Itoa(uid))
	if err := errors.Join(os.Mkdir(gateway, 0o700), os.Chown(gateway, uid, uid)); err != nil {
		return "", err
	}
	config := filepath.Join(gateway, "postern.yaml")
	command := func(args ...string) *exec.Cmd {
		args = append(append(insideArgs(uid, nil), os.Getenv(envPlain)), args...)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = "/"
		return cmd
	}
	if out, err := command("init", "--config", config, "--state", filepath.Join(gateway, "state")).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	// The answer may be no, as where a program is missing; it is an answer.
	out, err := command("check", "--json", "--config", config).Output()
	var checked struct{ Confinement string }
	if failure := json.Unmarshal(out, &checked); failure != nil || checked.Confinement == "" {
		return "", fmt.Errorf("%w, %v: %s", err, failure, out)
	}
	return checked.Confinement, nil
}

// given reports whether a level has all means of another.
func given(level, wanted string) bool { return level == full || wanted == none || level == wanted }

// mustHave skips a test in a manner that this host does not give.
func mustHave(t testing.TB, m manner) {
	t.Helper()
	if level := os.Getenv(envLevel + strconv.Itoa(m.gateway)); !given(level, m.level) {
		t.Skipf("this host gives %s to a gateway of uid %d, and the test needs %s", level, m.gateway, m.level)
	}
}
