package policy_test

import (
	"slices"
	"strings"
	"testing"

	"postern/policy"
)

func borgRule(change ...func(*policy.Rule)) policy.Rule {
	r := policy.Rule{Tool: policy.Borg, Path: k1, Access: policy.ReadWrite}
	for _, c := range change {
		c(&r)
	}
	return r
}

func appendOnly(r *policy.Rule) { r.AppendOnly = true }
func quota(r *policy.Rule)      { r.Quota = policy.LimitOf(5 << 30) }
func other(r *policy.Rule)      { r.Path = k2 }

func TestBorgOne(t *testing.T) {
	const serve = "borg serve --umask=0077 --restrict-to-path " + k1
	plain := []policy.Rule{borgRule()}
	for _, test := range []struct {
		name  string
		rules []policy.Rule
		exec  string
		want  string
	}{
		{"plain", plain, "borg serve", serve},
		{"a log level", plain, "borg serve --info", "borg serve --info --umask=0077 --restrict-to-path " + k1},
		{"debug topics", plain, "borg serve --debug --debug-topic=borg.debug.repository", "borg serve --debug --debug-topic=borg.debug.repository --umask=0077 --restrict-to-path " + k1},
		{"append-only", []policy.Rule{borgRule(appendOnly)}, "borg serve", serve + " --append-only"},
		{"a quota", []policy.Rule{borgRule(quota)}, "borg serve", serve + " --storage-quota=5368709120"},
		{"the strictest of several", []policy.Rule{borgRule(), borgRule(other, appendOnly, quota)}, "borg serve",
			serve + " --restrict-to-path " + k2 + " --append-only --storage-quota=5368709120"},
		{"G1 the client's own restriction", plain, "borg serve --restrict-to-path /", serve},
		{"G1 joined", plain, "borg serve --restrict-to-repository=/", serve},
		{"G2 the client's own limits", []policy.Rule{borgRule(appendOnly)}, "borg serve --append-only=false --storage-quota=1T --umask=000 --permissions=all", serve + " --append-only"},
		{"G3 a socket", plain, "borg serve --socket=/x", "refused: option-unknown"},
		{"G3 a profile", plain, "borg serve --debug-profile /x", "refused: option-unknown"},
		{"G3 JSON", plain, "borg serve --log-json", serve},
		{"G4 init", plain, "borg init /x", "refused: borg-command"},
		{"G4 with-lock", plain, "borg with-lock r sh", "refused: borg-command"},
		{"G14 an open quote", plain, "borg serve '", "refused: tokenise-error"},
		{"G15 a probe", plain, "borg --version", "answer: borg 1.2.4"},
		{"A16 what borg 1.1 sends", plain, "BORG_HOSTNAME_IS_UNIQUE=no borg serve --info", "borg serve --info --umask=0077 --restrict-to-path " + k1},
		{"A17 a second command", plain, "borg serve; id", "refused: shell-syntax"},
		{"A17 a substitution", plain, "borg serve --x $(id)", "refused: shell-syntax"},
		{"A17 an unknown option", plain, "borg serve --x", "refused: option-unknown"},
		{"an argument", plain, "borg serve /x", "refused: option-unknown"},
		{"A19 sudo", plain, "sudo borg serve", "refused: program-unknown"},
		{"A19 borg-1.4", plain, "borg-1.4 serve", serve},
		{"A19 borg1", plain, "borg1 serve", serve},
		{"A19 borg14", plain, "borg14 serve", serve},
		{"A19 a path", plain, "/usr/local/bin/borg serve", serve},
		{"A19 an unknown path", plain, "C:/borg/borg.exe serve", "refused: program-unknown"},
		{"borg 2 is not installed", plain, "borg2 serve", "refused: not-installed"},
		{"G5 its protocol neither", plain, "borg serve --rest --backend FILE:x", "refused: not-installed"},
		{"K13 read-only", []policy.Rule{borgRule(readOnly)}, "borg serve", "refused: borg-access"},
		{"quotes as shlex reads them", plain, `'borg' "serve" --in"fo"`, "borg serve --info --umask=0077 --restrict-to-path " + k1},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(decide(t, test.rules, host(), test.exec)); got != test.want {
				t.Errorf("%q\n got: %s\nwant: %s", test.exec, got, test.want)
			}
		})
	}
}

func TestBorgTwo(t *testing.T) {
	two := host()
	two.Borg2 = policy.Program{Path: "/opt/borg2/borg", Version: "2.0.0"}
	const rest = "borg serve --rest --backend FILE:" + k1 + "/repo --restrict-to-path " + k1 + " --permissions "
	for _, test := range []struct {
		name string
		rule policy.Rule
		exec string
		want string
	}{
		{"the older protocol", borgRule(), "borg2 serve", "borg serve --restrict-to-path " + k1 + " --permissions all"},
		{"G6 the older protocol cannot restrict", borgRule(appendOnly), "borg2 serve", "refused: borg-legacy"},
		{"G6 read-only neither", borgRule(readOnly), "borg2 serve", "refused: borg-legacy"},
		{"a repository", borgRule(), "borg serve --rest --backend FILE:" + k1 + "/repo", rest + "all"},
		{"one below the home", borgRule(), "borg2 serve --rest --backend=FILE:/./repo", rest + "all"},
		{"one below the tilde", borgRule(), "borg2 serve --rest --backend=FILE:/~/repo", rest + "all"},
		{"append-only", borgRule(appendOnly), "borg2 serve --rest --backend FILE:repo", rest + "no-delete"},
		{"F6 permissions are ours", borgRule(readOnly), "borg2 serve --rest --permissions all --backend FILE:repo", rest + "read-only"},
		{"write-only", borgRule(writeOnly), "borg2 serve --rest --backend FILE:repo", rest + "write-only"},
		{"G5 climbing", borgRule(), "borg2 serve --rest --backend FILE:../../etc", "refused: path-outside"},
		{"G5 another user's home", borgRule(), "borg2 serve --rest --backend FILE:/~root/x", "refused: path-user"},
		{"G5 through a link", borgRule(), "borg2 serve --rest --backend FILE:out/x", "refused: path-symlink"},
		{"G5 another backend", borgRule(), "borg2 serve --rest --backend sftp://h/x", "refused: borg-backend"},
		{"no backend", borgRule(), "borg2 serve --rest", "refused: borg-backend"},
		{"a quota cannot be held", borgRule(quota), "borg2 serve --rest --backend FILE:repo", "refused: borg-quota"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(decide(t, []policy.Rule{test.rule}, two, test.exec)); got != test.want {
				t.Errorf("%q\n got: %s\nwant: %s", test.exec, got, test.want)
			}
		})
	}
	two.Borg = policy.Program{}
	if got, want := outcome(decide(t, []policy.Rule{borgRule()}, two, "borg serve")), "borg serve --restrict-to-path "+k1+" --permissions all"; got != want {
		t.Errorf("alone on the host, borg 2 answers to borg: got %s, want %s", got, want)
	}
}

func TestBorgTwoIsNamedWhereItLacks(t *testing.T) {
	d := decide(t, []policy.Rule{borgRule()}, host(), "borg serve --rest --backend FILE:x")
	if d.Refusal == nil || d.Refusal.Status != policy.ExitNotInstalled || !strings.Contains(d.Refusal.Message, "borg 2") {
		t.Errorf("%s: %v", outcome(d), d.Refusal)
	}
}

func TestBorgEnvironmentKeepsClientsOut(t *testing.T) {
	d := decide(t, []policy.Rule{borgRule()}, host(), "borg serve")
	for _, want := range []string{"HOME=/nonexistent", "PYTHONNOUSERSITE=1", "BORG_BASE_DIR=" + k1, "BORG_CONFIG_DIR=/nonexistent/config"} {
		if !slices.Contains(d.Env, want) {
			t.Errorf("the environment lacks %s: %q", want, d.Env)
		}
	}
	if i := slices.IndexFunc(d.Env, func(v string) bool { return strings.HasPrefix(v, "SSH_ORIGINAL_COMMAND") }); i >= 0 {
		t.Error("borg would read the client's command again")
	}
}
