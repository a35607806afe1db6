package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"postern/sandbox"
)

// units puts the units for systemd into a folder, with a gateway that is there.
func units(t *testing.T) (service, socket string) {
	t.Helper()
	folder := t.TempDir()
	gateway, err := exec.LookPath("postern")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range []string{"postern.service", "postern.socket"} {
		text, err := os.ReadFile(filepath.Join("../../configs", name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(folder, name))
		text = []byte(strings.ReplaceAll(string(text), "/usr/local/bin/postern", gateway))
		if err := os.WriteFile(files[len(files)-1], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files[0], files[1]
}

// analyze runs systemd-analyze.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs systemd-analyze")
	}
	if err != nil {
		t.Errorf("systemd-analyze %q: %v", args, err)
	}
	return string(out)
}

// Every line of the units means something to systemd.
func TestUnitsAreUnderstood(t *testing.T) {
	service, socket := units(t)
	if out := analyze(t, "verify", "--man=no", service, socket); strings.Contains(out, "postern.") {
		t.Errorf("systemd says\n%s", out)
	}
}

// otherVersion is how much more another version of systemd may find.
const otherVersion = 0.3

// The exposure that docs/running.md names is the one that systemd finds.
func TestUnitIsLockedDown(t *testing.T) {
	service, _ := units(t)
	const figure = `exposure level for postern.service: ([0-9.]+)`
	found := regexp.MustCompile(figure).FindStringSubmatch(analyze(t, "security", "--offline=true", "--no-pager", service))
	text, err := os.ReadFile("../../docs/running.md")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(figure).FindStringSubmatch(string(text))
	if found == nil || told == nil {
		t.Fatalf("systemd finds %q, the docs name %q", found, told)
	}
	is, err1 := strconv.ParseFloat(found[1], 64)
	said, err2 := strconv.ParseFloat(told[1], 64)
	if err := errors.Join(err1, err2); err != nil || is > said+otherVersion {
		t.Errorf("systemd finds %v, the docs name %v: %v", is, said, err)
	}
}

// With the capabilities that the unit leaves it, a gateway holds its children as
// without the unit.
func TestUnitLeavesConfinement(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	service, _ := units(t)
	text, err := os.ReadFile(service)
	if err != nil {
		t.Fatal(err)
	}
	bounds := []string{"-all"}
	for _, line := range regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		for word := range strings.FieldsSeq(strings.ToLower(line[1])) {
			bounds = append(bounds, "+"+strings.TrimPrefix(word, "cap_"))
		}
	}
	want := sandbox.Probe("/proc/self/exe").Level.String()
	start := startServing(t, newGatewayFolder(t), func(cmd *exec.Cmd) {
		path, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skip("needs setpriv")
		}
		cmd.Args = append([]string{"setpriv", "--no-new-privs", "--bounding-set=" + strings.Join(bounds, ","), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = path
	})
	if got := start.start["confinement"]; got != want {
		t.Errorf("held at %v, without the unit at %s", got, want)
	}
	start.end(t, os.Interrupt)
}
