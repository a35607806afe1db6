package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// The versions of rsync that meet each other, on both sides: the current one,
// and the one of Debian 12 as it was released.
const (
	newRsync = "3.5.0"
	oldRsync = "3.2.7"
)

// findTools looks for everything that the scripts run, once.
var findTools = sync.OnceValues(lookForTools)

// toolPaths maps the name of a tool, or rsync-VERSION, to its absolute path.
type toolPaths map[string]string

// lookForTools fails with everything that is missing, so that one reading of
// the message is enough to install it.
func lookForTools() (toolPaths, error) {
	found := toolPaths{}
	var missing []error
	for name, from := range map[string]string{
		"ssh": "openssh-client", "ssh-keygen": "openssh-client", "ssh-agent": "openssh-client", "ssh-add": "openssh-client",
		"sftp": "openssh-client", "scp": "openssh-client", "sshd": "openssh-server",
		"borg": "borgbackup", "dbclient": "dropbear-bin", "dropbearconvert": "dropbear-bin",
		"plink": "putty-tools", "puttygen": "putty-tools",
		"setfacl": "acl", "getfacl": "acl", "setfattr": "attr", "sh": "dash", "touch": "coreutils",
		"bash": "bash", "flock": "util-linux", "ip": "iproute2",
	} {
		path, err := lookup(name)
		if err != nil {
			missing = append(missing, fmt.Errorf("%w; install the package %s", err, from))
		}
		found[name] = path
	}
	for version, variable := range map[string]string{newRsync: "POSTERN_E2E_RSYNC_NEW", oldRsync: "POSTERN_E2E_RSYNC_OLD"} {
		path, err := findRsync(version, variable)
		if err != nil {
			missing = append(missing, err)
		}
		found["rsync-"+version] = path
	}
	if out, err := exec.Command("/usr/bin/python3", "-c", "import paramiko").CombinedOutput(); err != nil {
		missing = append(missing, fmt.Errorf("paramiko: %w: %s; install the package python3-paramiko", err, out))
	}
	return found, errors.Join(missing...)
}

// lookup is [exec.LookPath] that looks into the folders of daemons too.
func lookup(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, folder := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is missing", name)
}

// rsyncVersion reads the version out of what rsync --version prints.
var rsyncVersion = regexp.MustCompile(`^rsync +version v?(\d+\.\d+\.\d+)`)

// findRsync returns an rsync of exactly this version: the file that the
// environment variable names, or rsync-VERSION or rsync in the path.
func findRsync(version, variable string) (string, error) {
	var tried []string
	for _, name := range []string{os.Getenv(variable), "rsync-" + version, "rsync"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "--version").Output()
		if match := rsyncVersion.FindSubmatch(out); err == nil && match != nil {
			if string(match[1]) == version {
				return filepath.Abs(path)
			}
			tried = append(tried, path+" is "+string(match[1]))
		}
	}
	return "", fmt.Errorf("rsync %s is missing (%s); name one with %s", version, strings.Join(tried, ", "), variable)
}
