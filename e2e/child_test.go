package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestChild looks at a child of the gateway while it waits for its client: what
// it was given, whatever the client asked for (threats F1 to F13).
func TestChild(t *testing.T) {
	if onlyBaseline() {
		return
	}
	t.Parallel()
	w, p := threatWorld(t)
	for tool, command := range map[string]string{"rsync": push + ". d", "borg": "borg serve"} {
		t.Run(tool, func(t *testing.T) {
			var sent []string
			for _, name := range hostileEnvironment {
				sent = append(sent, name+"="+w.path("nas/k1/x"))
			}
			cmd := exec.Command(w.path("bin/ssh"), "-o", "SetEnv="+strings.Join(sent, " "), "k1", command)
			input, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Env = append(os.Environ(), w.env()...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer input.Close()
			pid := awaitProgram(t, p, tool)
			checkEnvironment(t, w, pid)
			checkBelongings(t, w, p, pid)
		})
	}
}

// hostileEnvironment are the variables by which a client could run code, widen
// a policy, or read files.
var hostileEnvironment = []string{
	"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "LOCPATH", "NLSPATH", "HOME", "PATH", "IFS", "ENV", "BASH_ENV", "SHELLOPTS",
	"RSYNC_RSH", "RSYNC_CONNECT_PROG", "RSYNC_PROXY", "RSYNC_SHELL", "RSYNC_ICONV", "RSYNC_PROTECT_ARGS", "RSYNC_MAX_ALLOC", "RSYNC_PARTIAL_DIR",
	"RSYNC_PANIC_ACTION", "RSYNC_CHECKSUM_LIST", "RSYNC_COMPRESS_LIST", "CVSIGNORE", "BORG_LOGGING_CONF", "BORG_REPO_PERMISSIONS", "BORG_BASE_DIR",
	"BORG_CONFIG_DIR", "BORG_CACHE_DIR", "BORG_WORKAROUNDS", "BORG_REMOTE_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT",
	"PYTHONUSERBASE", "SSH_ORIGINAL_COMMAND", "TMPDIR", "TERM", "LANG", "LC_ALL",
}

// awaitProgram waits until the gateway runs the program itself, below its helper
// or in its place, and returns its pid.
func awaitProgram(t *testing.T, p *postern, tool string) int {
	t.Helper()
	var pid int
	err := until(func() (bool, string) {
		for _, child := range descendants(p.pid()) {
			exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", child.pid))
			interpreted := tool == "borg" && strings.Contains(exe, "python")
			if (filepath.Base(exe) == tool || interpreted) && settled(child.pid) {
				pid = child.pid
				return true, ""
			}
		}
		return false, "no " + tool + " runs"
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// settled tells whether the process waits for input: it has loaded what it
// wanted to.
func settled(pid int) bool {
	call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	number, _, _ := strings.Cut(string(call), " ")
	return slices.Contains([]string{strconv.Itoa(unix.SYS_READ), strconv.Itoa(unix.SYS_SELECT), strconv.Itoa(unix.SYS_PSELECT6), strconv.Itoa(unix.SYS_POLL)}, number)
}

func checkEnvironment(t *testing.T, w *world, pid int) {
	t.Helper()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range strings.Split(strings.TrimSuffix(string(environ), "\x00"), "\x00") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.Contains(value, "nas/k1/x") || name == "SSH_ORIGINAL_COMMAND" || strings.HasPrefix(name, "LD_") {
			t.Errorf("the child has %s", pair)
		}
		if name != "HOME" {
			continue
		}
		entries, err := os.ReadDir(value)
		if err != nil && !os.IsNotExist(err) || len(entries) > 0 {
			t.Errorf("HOME %s holds %v: %v", value, entries, err)
		}
		if strings.HasPrefix(value, w.path("nas")) {
			t.Errorf("a client can write into HOME %s", value)
		}
	}
}

var coreLimit = regexp.MustCompile(`Max core file size +1 +1 +bytes`)

func checkBelongings(t *testing.T, w *world, p *postern, pid int) {
	t.Helper()
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil || !strings.HasPrefix(cwd+"/", w.path("nas/k1")+"/") {
		t.Errorf("it works in %s, outside its rule: %v", cwd, err)
	}
	for _, target := range descriptors(pid) {
		// Python opens its own; the gateway's would be files or sockets.
		if strings.HasPrefix(target, w.path("gw")) || target == "socket" || strings.Contains(target, "serve.log") {
			t.Errorf("it has %s open", target)
		}
	}
	group, err := unix.Getpgid(pid)
	if own := slices.ContainsFunc(descendants(p.pid()), func(c process) bool { return c.pid == group }); err != nil || !own {
		t.Errorf("its process group is %d, not its own or its helper's: %v", group, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	if fields["NoNewPrivs"] != "1" {
		t.Error("it may gain rights by programs with the set-user-ID bit")
	}
	if mask, err := strconv.ParseUint(fields["Umask"], 8, 32); err != nil || mask&0o022 != 0o022 {
		t.Errorf("its umask is %s", fields["Umask"])
	}
	// With one byte there is no core file, and no handler of crashes either.
	if limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid)); err != nil || !coreLimit.Match(limits) {
		t.Errorf("it may leave a core file: %v", err)
	}
	if blocked := fields["SigBlk"]; strings.Trim(blocked, "0") != "" {
		t.Errorf("it blocks the signals %s, and could not be ended", blocked)
	}
}
