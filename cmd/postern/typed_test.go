package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseRsyncLine(t *testing.T) {
	for _, test := range []struct {
		name string
		in   string // separated by blanks
		want string // without the remote shell; SCRATCH is the folder
		err  string
	}{
		{"a push", "-a src/ nas:/x", "-a -- src/ nas:/x", ""},
		{"a pull of several", "-a nas:a :b .", "-a -- nas:a :b .", ""},
		{"a listing", "nas:/x", "-- nas:/x", ""},
		{"options behind operands", "src nas:/x -a --delete", "-a --delete -- src nas:/x", ""},
		{"IPv6", "-a src [::1]:/x", "-a -- src [::1]:/x", ""},
		{"a colon behind a slash is local", "-a ./a:b nas:/x", "-a -- ./a:b nas:/x", ""},
		{"names that begin with a dash", "-a -- -src nas:/x", "-a -- -src nas:/x", ""},

		{"another shell, by itself", "-e ssh src nas:/x", "-- src nas:/x", ""},
		{"another shell, in a cluster", "-avze ssh src nas:/x", "-avz -- src nas:/x", ""},
		{"another shell, glued", "-avessh src nas:/x", "-av -- src nas:/x", ""},
		{"another shell, long", "--rsh=ssh --rsh ssh src nas:/x", "-- src nas:/x", ""},
		{"a filter in a cluster", "-af -_tmp src nas:/x", "-a -- src nas:/x", ""},
		{"a block size in a cluster", "-aB700 src nas:/x", "-a --block-size=700 -- src nas:/x", ""},
		{"a remote option", "-aM --fake-super src nas:/x", "-a --remote-option=--fake-super -- src nas:/x", ""},

		{"a log of the client", "--log-file=L src nas:/x", "-- src nas:/x", ""},
		{"a batch", "--write-batch B src nas:/x", "--write-batch=SCRATCH/batch -- src nas:/x", ""},
		{"a list of the client", "--files-from=L src nas:/x", "--files-from=/dev/null -- src nas:/x", ""},
		{"a list of the gateway", "--files-from=:L src nas:/x", "--files-from=:L -- src nas:/x", ""},
		{"a value that looks like a remote side", "--exclude nas:/y src nas:/x", "-- src nas:/x", ""},

		{"no remote side", "-a src copy", "", "names no remote side"},
		{"nothing", "-a", "", "names no remote side"},
		{"both sides remote", "-a a:x b:y", "", "mixes"},
		{"a remote among local sources", "-a src a:x b:y", "", "mixes"},
		{"a daemon", "-a src nas::m/x", "", "daemon"},
		{"a daemon by URL", "-a src RSYNC://nas/x", "", "daemon"},
		{"a daemon by IPv6", "-a src [::1]::m", "", "daemon"},
		{"to be a daemon", "--daemon nas:/x", "", "calls no gateway"},
		{"to be a server", "--server nas:/x", "", "calls no gateway"},
		{"reading a batch", "--read-batch=B nas:/x", "", "calls no gateway"},
		{"a value that is missing", "nas:/x --exclude", "", "needs a value"},
		{"a letter's value that is missing", "nas:/x -ae", "", "needs a value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			line, err := parseRsyncLine(strings.Fields(test.in))
			if test.err != "" {
				var wrong usage
				if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one of usage with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			args := line.args("SHELL", "SCRATCH")
			shell := slices.Index(args, "--rsh=SHELL")
			if shell < 0 || args[shell+1] != "--" {
				t.Fatalf("the remote shell is not the last option of %q", args)
			}
			if got := strings.Join(slices.Delete(args, shell, shell+1), " "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestParseBorgLine(t *testing.T) {
	for _, test := range []struct {
		name string
		in   string
		want string // without the remote shell
		path string
		err  string
	}{
		{"create", "create ssh://u@nas:22/r::a /etc", "list -- ssh://u@nas:22/r", "/r", ""},
		{"scp's form", "create u@nas:r/s::a /etc", "list -- u@nas:r/s", "r/s", ""},
		{"IPv6", "list ssh://[::1]/r", "list -- ssh://[::1]/r", "/r", ""},
		{"log level before", "-v list nas:r", "list -v -- nas:r", "r", ""},
		{"log level behind", "list nas:r --debug --debug-topic repository.x", "list --debug --debug-topic repository.x -- nas:r", "r", ""},
		{"another borg", "--remote-path borg1 list nas:r", "list --remote-path borg1 -- nas:r", "r", ""},
		{"another shell", "list --rsh=ssh --rsh ssh nas:r", "list -- nas:r", "r", ""},
		{"a value that looks like a repository", "create --exclude nas:q -e sh:x nas:r::a /etc", "list -- nas:r", "r", ""},
		{"a quota is of init", "init -e none --storage-quota 5G nas:r", "init --encryption=none --storage-quota 5G -- nas:r", "r", ""},
		{"two words", "key export nas:r file", "list -- nas:r", "r", ""},
		{"another program's options", "with-lock nas:r rsync --debug", "list -- nas:r", "r", ""},

		{"a local repository", "create /r::a nas:r", "", "", "no repository on another host"},
		{"a local one with a colon", "create ./r:x::a /etc", "", "", "no repository on another host"},
		{"the environment's", "create ::a /etc", "", "", "no repository on another host"},
		{"a file URL", "list file:///r", "", "", "no repository on another host"},
		{"none", "list", "", "", "names no repository"},
		{"nothing", "", "", "", "names no subcommand"},
		{"serve", "serve nas:r", "", "", "typed on the client"},
	} {
		t.Run(test.name, func(t *testing.T) {
			line, err := parseBorgLine(strings.Fields(test.in))
			if test.err != "" {
				var wrong usage
				if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one of usage with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Replace(strings.Join(line.args("SHELL", ""), " "), "--rsh SHELL ", "", 1)
			if got != test.want || line.path != test.path {
				t.Errorf("got  %s, path %q\nwant %s, path %q", got, line.path, test.want, test.path)
			}
		})
	}
}

// TestBorgAsks holds where borg's paths lead, as borg 1.2 resolves them with the
// gateway's BORG_BASE_DIR and working directory.
func TestBorgAsks(t *testing.T) {
	for _, test := range []struct {
		path, want string
		ok         bool
	}{
		{"/volume1/k1/repo", "/volume1/k1/repo", true},
		{"/volume1/k1/../k2", "/volume1/k2", true},
		{"/./repo", "/home/repo", true},
		{"/~/repo", "/home/repo", true},
		{"repo", "/home/repo", true},
		{"~/repo", "/home/repo", true},
		{"/./../k2", "/k2", true},
		{"/~root/repo", "", false},
		{"~root/repo", "", false},
		{"/srv/{hostname}", "", false},
	} {
		t.Run(test.path, func(t *testing.T) {
			got, ok := borgLine{path: test.path}.asks("/home")
			if got != test.want || ok != test.ok {
				t.Errorf("%q, %v", got, ok)
			}
		})
	}
}
