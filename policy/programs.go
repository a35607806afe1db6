package policy

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// named is what the program's name in a request selects.
type named struct {
	tool Tool
	// second says that the name means borg 2.
	second bool
}

// binaryFolders are where the clients' --rsync-path and --remote-path point to.
// The name is only compared: what runs is the configured binary.
var binaryFolders = []string{"/bin", "/usr/bin", "/usr/local/bin", "/opt/bin", "/opt/local/bin", "/opt/homebrew/bin", "/usr/syno/bin"}

// The names of borg in use: borg, borg1, borg14, borg1.4, borg-1.4 and borg2,
// and those of its standalone binaries, such as borg-linux64.
var (
	borgOne = regexp.MustCompile(`^borg(-?1(\.?[0-4])?|-(linux|macos|freebsd)[a-z0-9._-]*)?(\.exe)?$`)
	borgTwo = regexp.MustCompile(`^borg-?2(\.?\d)?(\.exe)?$`)
)

// programNamed says which of the configured programs a name selects. It never
// looks for one.
func (h Host) programNamed(name string) (named, *Refusal) {
	switch {
	case h.Rsync.called(name):
		return named{tool: Rsync}, nil
	case h.Borg2.called(name):
		return named{tool: Borg, second: true}, nil
	case h.Borg.called(name):
		return named{tool: Borg}, nil
	}
	base := path.Base(name)
	if base != name && !slices.Contains(binaryFolders, path.Dir(name)) {
		return named{}, unknownProgram(name)
	}
	switch {
	case base == "rsync":
		return named{tool: Rsync}, nil
	case borgTwo.MatchString(base):
		return named{tool: Borg, second: true}, nil
	case borgOne.MatchString(base):
		return named{tool: Borg, second: base == "borg" && !h.Borg.Installed() && h.Borg2.Installed()}, nil
	}
	return named{}, unknownProgram(name)
}

// called reports whether the operator gave the program this name.
func (p Program) called(name string) bool {
	return p.Installed() && (name == p.Path || slices.Contains(p.Aliases, name))
}

func unknownProgram(name string) *Refusal {
	remedy := "accepted names: rsync, borg, borg1, borg-1.4, borg2, also in " + strings.Join(binaryFolders[:3], ", ") +
		", and the aliases of postern.yaml"
	switch name {
	case "sudo", "doas", "nice", "ionice", "env":
		remedy = "leave " + name + " out of --rsync-path or --remote-path: the gateway decides how its programs run"
	case "scp", "sftp-server", "internal-sftp":
		remedy = "use rsync or borg: files are not copied with scp or sftp here"
	}
	return &Refusal{Code: "program-unknown", Status: ExitRefused, Remedy: remedy,
		Message: fmt.Sprintf("%q is not a program of this gateway", name),
		Detail:  "add the name under aliases: in postern.yaml if it means one of the configured programs"}
}
