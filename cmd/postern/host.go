package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/configs"
	"postern/gateway"
	"postern/policy"
	"postern/sandbox"
)

// versionPatience is how long a program may take to say its version. Borg
// needs a second or two on the slow processors of small NAS.
const versionPatience = 20 * time.Second

// tool is one program of this host.
type tool struct {
	Name    string `json:"name"`
	Path    string `json:"path,omitempty"`
	Version string `json:"version,omitempty"`
	// Holes are the known security holes of that version.
	Holes []hole `json:"holes,omitempty"`
	// Problem says why the program cannot be used; empty where it can.
	Problem string `json:"problem,omitempty"`
	// Remedy belongs to Problem.
	Remedy string `json:"remedy,omitempty"`
}

// tools are the programs that sessions run.
type tools struct{ rsync, borg, borg2 tool }

func (t tools) all() []tool { return []tool{t.rsync, t.borg, t.borg2} }

// findTools finds the programs that the configuration names, or that stand in
// the usual folders, and asks each for its version. $PATH is not asked: it is
// whoever started postern's, and what is found here runs for every client.
func findTools(ctx context.Context, p configs.Programs) tools {
	return tools{
		rsync: findTool(ctx, "rsync", p.Rsync),
		borg:  findTool(ctx, "borg", p.Borg),
		borg2: findTool(ctx, "borg2", p.Borg2),
	}.sorted(p)
}

// findRsync is findTools without borg, which on a small NAS takes seconds to say
// its version.
func findRsync(ctx context.Context, p configs.Programs) tools {
	return tools{rsync: findTool(ctx, "rsync", p.Rsync), borg: tool{Name: "borg"}, borg2: tool{Name: "borg2"}}
}

// sorted puts a borg 2 that goes by the name of borg in its place.
func (t tools) sorted(p configs.Programs) tools {
	if !strings.HasPrefix(t.borg.Version, "2.") {
		return t
	}
	if p.Borg != "" {
		t.borg.Problem = fmt.Sprintf("%s is borg %s", t.borg.Path, t.borg.Version)
		t.borg.Remedy = "name it under programs.borg2, and a borg 1.x under programs.borg"
		return t
	}
	if t.borg2.Path == "" {
		t.borg2 = t.borg
		t.borg2.Name, t.borg2.Holes = "borg2", nil
	}
	t.borg = tool{Name: "borg"}
	return t
}

// host is what a decision must know of this machine, whose kernel holds children
// as told. A program with a problem counts as not installed.
func (t tools) host(c *configs.Config, held sandbox.Level) policy.Host {
	program := func(t tool) policy.Program {
		if t.Problem != "" {
			return policy.Program{}
		}
		return policy.Program{Path: t.Path, Version: t.Version, Aliases: c.Programs.Aliases[t.Name]}
	}
	return policy.Host{
		Rsync: program(t.rsync), Borg: program(t.borg), Borg2: program(t.borg2),
		Home: homeFolder(c),
		Hold: gateway.HoldOf(held), AcceptUnconfined: c.Sandbox.AcceptUnconfined,
		User: policy.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())},
	}
}

// homeFolder is the HOME of every child: inside the state, where no rule leads.
func homeFolder(c *configs.Config) string { return filepath.Join(c.State, "home") }

// findTool returns the program at path, or under its name in the usual folders
// when path is empty.
func findTool(ctx context.Context, name, path string) tool {
	if path == "" {
		path = lookFor(name)
	}
	if path == "" {
		return tool{Name: name}
	}
	t := tool{Name: name, Path: path}
	if err := executable(path); err != nil {
		t.Problem = err.Error()
		t.Remedy = fmt.Sprintf("install it, or correct programs.%s", name)
		return t
	}
	version, err := askVersion(ctx, path)
	if err != nil {
		t.Problem = err.Error()
		t.Remedy = fmt.Sprintf("see what %q prints, or name another one under programs.%s", path+" --version", name)
		return t
	}
	t.Version, t.Holes = version, holesOf(name, version)
	return t
}

func lookFor(name string) string {
	for _, folder := range configs.ProgramFolders() {
		path := filepath.Join(folder, name)
		if executable(path) == nil {
			return path
		}
	}
	return ""
}

// executable returns nil when path is a file that can be started.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable", path)
	}
	return nil
}

// versionLine matches the first line of rsync --version and borg --version.
var versionLine = regexp.MustCompile(`^(?:rsync +version|borg(?:\.exe)?) v?(\d+\.\d+(?:\.\d+)?[0-9A-Za-z.+~-]*)`)

// askVersion runs the program with --version and returns what it says it is.
// The program gets an environment without anybody's HOME, so that it reads no
// settings but those of the system.
func askVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Dir = "/"
	cmd.Env = bareEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version failed: %w", path, err)
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return "", fmt.Errorf("%s --version says %.80q, which names no version of rsync or borg", path, first)
	}
	return string(match[1]), nil
}

// bareEnvironment is enough for a script to find its interpreter.
func bareEnvironment() []string {
	return []string{"PATH=/usr/bin:/bin:/usr/local/bin", "LC_ALL=C", "PYTHONNOUSERSITE=1"}
}

// hole is a security hole that a version still has.
type hole struct {
	// Name is the advisory, or what stands for several.
	Name string `json:"name"`
	// ClosedIn is the first version without it.
	ClosedIn string `json:"closed_in"`
}

// knownHoles lists what concerns a server, from the NEWS of rsync and the change
// log of borg. From is the first version that has it; empty means all.
func knownHoles(program string) []struct{ name, from, closedIn string } {
	type row = struct{ name, from, closedIn string }
	switch program {
	case "rsync":
		return []row{
			{"CVE-2024-12084, CVE-2024-12085, CVE-2024-12086, CVE-2024-12087, CVE-2024-12088, CVE-2024-12747", "", "3.4.0"},
			{"CVE-2026-43618", "", "3.4.3"},
			{"33 advisories, CVE-2026-53802 and CVE-2026-70456 among them", "", "3.5.0"},
		}
	case "borg":
		return []row{
			{"CVE-2016-10099", "", "1.0.9"},
			{"CVE-2017-15914", "1.1.0", "1.1.3"},
			{"CVE-2023-36811", "", "1.2.5"},
		}
	}
	return nil
}

func holesOf(program, version string) []hole {
	var found []hole
	for _, row := range knownHoles(program) {
		if older(version, row.closedIn) && !older(version, row.from) {
			found = append(found, hole{Name: row.name, ClosedIn: row.closedIn})
		}
	}
	return found
}

// older reports whether version a comes before b, by their numbers alone.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

// numbers returns the first three numbers of a version, 0 for those it has not.
func numbers(version string) (n [3]int) {
	digits := func(r rune) bool { return r < '0' || r > '9' }
	for i, part := range strings.FieldsFunc(version, digits) {
		if i == len(n) {
			break
		}
		// Atoi fails for numbers beyond every version; those count as 0.
		n[i], _ = strconv.Atoi(part)
	}
	return n
}
