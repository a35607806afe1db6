package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/policy"
	"postern/registry"
)

// files returns the content of every file of the world, by path.
func (w *world) files() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestAddClient(t *testing.T) {
	w := newWorld(t, "programs: {borg2: /opt/borg2/bin/borg}")
	path, err := AddClient(w.mustLoad(), ClientSpec{
		Name: "laptop",
		Keys: []string{goodKey + " backup@laptop", "no-touch-required " + securityKey, numberedKey(t, 1) + ` "odd": #comment \ `},
		From: []string{"192.168.1.0/24", "2001:db8::/48"}, Principals: []string{"laptop", "12", "true"},
		Login: "yes", Expires: "2027-06-30", Disabled: true,
		Rules: []RuleSpec{
			{Tool: policy.Rsync, Path: "/volume1/Backups/laptop"},
			{
				Tool: policy.Rsync, Path: "/volume1/Back ups/#1: Ünï", Access: "write-only",
				NoDelete: true, NoOverwrite: true, Rooted: true, MungeLinks: true,
				Quota: "2TB", MaxFiles: "1000000", OneWriter: true, Wait: "30m",
			},
			{Tool: policy.Borg, Path: "/volume1/Backups/laptop.borg", AppendOnly: true, Quota: "500GiB"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `# Client laptop. After a change: postern check
disabled: true
keys:
  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMMD3dyjlpNvUmORbkVMnPwBUR/rDw8fBE/cFVCUCpI/ backup@laptop
  - no-touch-required sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gAAAABHNzaDo=
  - "` + numberedKey(t, 1) + ` \"odd\": #comment \\"
principals:
  - laptop
  - "12"
  - "true"
login: "yes"
from:
  - 192.168.1.0/24
  - "2001:db8::/48"
expires: 2027-06-30
allow:
  - rsync: /volume1/Backups/laptop
  - rsync: "/volume1/Back ups/#1: Ünï"
    access: write-only
    delete: false
    overwrite: false
    rooted: true
    munge_links: true
    quota: 2TB
    max_files: 1000000
    one_writer: true
    wait: 30m
  - borg: /volume1/Backups/laptop.borg
    append_only: true
    quota: 500GiB
`
	if got := w.files()[path]; got != want {
		t.Errorf("file\n%s, want\n%s", got, want)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 || path != w.path("clients.d/laptop.yaml") {
		t.Errorf("file %q, %v, %v", path, info, err)
	}
	client := w.mustLoad().Clients[0]
	if len(client.Keys) != 3 || client.Keys[2].Comment != `"odd": #comment \` || client.Login != "yes" || len(client.Rules) != 3 {
		t.Errorf("client %+v", client)
	}
}

func TestAddClientWithoutRules(t *testing.T) {
	w := newWorld(t)
	path, err := AddClient(w.mustLoad(), ClientSpec{Name: "x", Principals: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "# Client x. After a change: postern check\nprincipals:\n  - x\nallow: [] # nothing yet: it may connect, and no more\n"
	if got := w.files()[path]; got != want {
		t.Errorf("file %q", got)
	}
}

func TestAddClientRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		spec ClientSpec
		want string
	}{
		{"a name that leaves the folder", ClientSpec{Name: "../../etc/cron.d/x", Principals: []string{"x"}}, `"../../etc/cron.d/x" is not the name of a client`},
		{"no name", ClientSpec{Principals: []string{"x"}}, `"" is not the name of a client`},
		{"neither keys nor principals", ClientSpec{Name: "new"}, `the client has neither "keys" nor "principals"`},
		{"H3 the key of another client", ClientSpec{Name: "new", Keys: []string{goodKey}}, "does not tell them apart"},
		{"a bad key", ClientSpec{Name: "new", Keys: []string{"garbage"}}, "key cannot be read"},
		{"two keys in one", ClientSpec{Name: "new", Keys: []string{numberedKey(t, 1) + "\n" + numberedKey(t, 2)}}, "key has more than one line"},
		{"YAML in a key's comment", ClientSpec{Name: "new", Keys: []string{numberedKey(t, 1) + "\nallow: [{rsync: /srv}]"}}, "key has more than one line"},
		{"a control character", ClientSpec{Name: "new", Principals: []string{"a\x1bb"}}, "U+001B"},
		{"invalid UTF-8", ClientSpec{Name: "new", Principals: []string{"a\xffb"}}, "the file is not UTF-8"},
		{"a space in a principal", ClientSpec{Name: "new", Principals: []string{"a b"}}, "holds a space"},
		{"a bad login name", ClientSpec{Name: "new", Principals: []string{"x"}, Login: "a b"}, "holds a space"},
		{"a bad network", ClientSpec{Name: "new", Principals: []string{"x"}, From: []string{"192.168.1.5/24"}}, "has bits set"},
		{"a bad day", ClientSpec{Name: "new", Principals: []string{"x"}, Expires: "soon"}, "neither a day nor an instant"},
		{"C13 the clients' folder", ClientSpec{Name: "new", Principals: []string{"x"}, Rules: []RuleSpec{{Tool: policy.Rsync, Path: "DIR/clients.d"}}}, "is the folder of the clients' files"},
		{"a bad access", ClientSpec{Name: "new", Principals: []string{"x"}, Rules: []RuleSpec{{Tool: policy.Rsync, Path: "/srv/x", Access: "rw"}}}, "access cannot be"},
		{"a key of the other tool", ClientSpec{Name: "new", Principals: []string{"x"}, Rules: []RuleSpec{{Tool: policy.Borg, Path: "/srv/x", MaxFiles: "7"}}}, `unknown key "max_files"`},
		{"a number that is none", ClientSpec{Name: "new", Principals: []string{"x"}, Rules: []RuleSpec{{Tool: policy.Rsync, Path: "/srv/x", MaxFiles: "7k"}}}, `max_files must be a whole number, not "7k"`},
		{"no time to wait", ClientSpec{Name: "new", Principals: []string{"x"}, Rules: []RuleSpec{{Tool: policy.Rsync, Path: "/srv/x", Wait: "ten"}}}, `wait: "ten" is no such time`},
		{"no tool", ClientSpec{Name: "new", Principals: []string{"x"}, Rules: []RuleSpec{{Path: "/srv/x"}}}, "found an invalid key for this map"},
		{"more than can be loaded", ClientSpec{Name: "new", Keys: []string{numberedKey(t, 1) + strings.Repeat("x", 1<<20)}}, "larger than 1 MiB"},
		{"a private key", ClientSpec{Name: "new", Keys: []string{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n"}}, privateKeyMessage},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.client("old", "keys: ['"+goodKey+"']\n")
			for i := range test.spec.Rules {
				test.spec.Rules[i].Path = strings.Replace(test.spec.Rules[i].Path, "DIR", w.folder, 1)
			}
			cfg, before := w.mustLoad(), w.files()
			path, err := AddClient(cfg, test.spec)
			problems, _ := err.(Problems)
			if path != "" || len(problems) == 0 || !strings.Contains(problems.Error(), test.want) {
				t.Errorf("path %q, error %v, want %q", path, err, test.want)
			}
			if after := w.files(); !reflect.DeepEqual(after, before) {
				t.Errorf("files are\n%q, were\n%q", after, before)
			}
		})
	}
}

func TestAddClientThatExists(t *testing.T) {
	w := newWorld(t)
	w.client("laptop", "keys: ['"+goodKey+"']\n")
	before := w.files()
	_, err := AddClient(w.mustLoad(), ClientSpec{Name: "laptop", Principals: []string{"x"}})
	if !errors.Is(err, fs.ErrExist) || !reflect.DeepEqual(w.files(), before) {
		t.Errorf("error %v", err)
	}
}

// TestAddClientJudgesTheWhole adds a good client where another is bad, though the
// configuration in hand is from better days.
func TestAddClientJudgesTheWhole(t *testing.T) {
	w := newWorld(t)
	cfg := w.mustLoad()
	w.client("broken", "keys: [x]\n")
	_, err := AddClient(cfg, ClientSpec{Name: "new", Principals: []string{"x"}})
	if problems, _ := err.(Problems); len(problems) != 1 || problems[0].File != w.path("clients.d/broken.yaml") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(w.path("clients.d/new.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

// TestAddClientsAtOnce adds one key to several clients at the same moment: one
// must win.
func TestAddClientsAtOnce(t *testing.T) {
	w := newWorld(t)
	cfg := w.mustLoad()
	names := []string{"a", "b", "c", "d", "e", "f"}
	won := make(chan string, len(names))
	var adders sync.WaitGroup
	for _, name := range names {
		adders.Go(func() {
			if _, err := AddClient(cfg, ClientSpec{Name: name, Keys: []string{goodKey}}); err == nil {
				won <- name
			}
		})
	}
	adders.Wait()
	if clients := w.mustLoad().Clients; len(won) != 1 || len(clients) != 1 || clients[0].Name != <-won {
		t.Errorf("clients %+v", clients)
	}
}

func TestSetDisabled(t *testing.T) {
	keys := "keys: ['" + goodKey + "']"
	for _, test := range []struct{ name, before, disabled, enabled string }{
		{"no key", keys + "\n", "disabled: true\n" + keys + "\n", "disabled: false\n" + keys + "\n"},
		{"comments first", "# a\n\n" + keys + " # b", "# a\n\ndisabled: true\n" + keys + " # b", "# a\n\ndisabled: false\n" + keys + " # b"},
		{
			"enabled with a comment", keys + "\ndisabled:   false   # not yet\nlogin: x\n",
			keys + "\ndisabled:   true   # not yet\nlogin: x\n", keys + "\ndisabled:   false   # not yet\nlogin: x\n",
		},
		{"quoted key", "\"disabled\": false\n" + keys, "\"disabled\": true\n" + keys, "\"disabled\": false\n" + keys},
		{"capitals", "disabled: False\n" + keys, "disabled: true\n" + keys, "disabled: false\n" + keys},
		{"Windows", "# a\r\n" + keys + "\r\n", "# a\r\ndisabled: true\r\n" + keys + "\r\n", "# a\r\ndisabled: false\r\n" + keys + "\r\n"},
		{"byte order mark", "\ufeff" + keys + "\n", "\ufeffdisabled: true\n" + keys + "\n", "\ufeffdisabled: false\n" + keys + "\n"},
		{"mark and key", "\ufeffdisabled: false\n" + keys + "\n", "\ufeffdisabled: true\n" + keys + "\n", "\ufeffdisabled: false\n" + keys + "\n"},
		{"indented", "  " + keys + "\n  login: x\n", "  disabled: true\n  " + keys + "\n  login: x\n", "  disabled: false\n  " + keys + "\n  login: x\n"},
		{"document marks", "--- # x\n" + keys + "\n...\n", "--- # x\ndisabled: true\n" + keys + "\n...\n", "--- # x\ndisabled: false\n" + keys + "\n...\n"},
		{"flow style", "{" + keys + "}\n", "{disabled: true, " + keys + "}\n", "{disabled: false, " + keys + "}\n"},
		{"empty flow style", "{}\n", "{disabled: true}\n", "{disabled: false}\n"},
		{"JSON", `{"keys": [], "disabled": false}`, `{"keys": [], "disabled": true}`, `{"keys": [], "disabled": false}`},
		{
			"the word elsewhere", "# disabled: false\nlogin: \"disabled: false\"\n" + keys + " # disabled: false\n",
			"# disabled: false\ndisabled: true\nlogin: \"disabled: false\"\n" + keys + " # disabled: false\n",
			"# disabled: false\ndisabled: false\nlogin: \"disabled: false\"\n" + keys + " # disabled: false\n",
		},
		{"Ünïcode before it", "{login: Ünïcode, disabled: false}", "{login: Ünïcode, disabled: true}", "{login: Ünïcode, disabled: false}"},
		{"problems of other kinds", "keys: [x]\nunknown: 1\n", "disabled: true\nkeys: [x]\nunknown: 1\n", "disabled: false\nkeys: [x]\nunknown: 1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.client("laptop", test.before)
			path := w.path("clients.d/laptop.yaml")
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			for _, step := range []struct {
				disable bool
				want    string
			}{{true, test.disabled}, {true, test.disabled}, {false, test.enabled}, {false, test.enabled}, {true, test.disabled}} {
				if err := SetDisabled(path, step.disable); err != nil {
					t.Fatal(err)
				}
				if got := w.files()[path]; got != step.want {
					t.Errorf("disabled %v: file %q, want %q", step.disable, got, step.want)
				}
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != 0o640 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if got := slices.Collect(func(yield func(string) bool) {
				entries, _ := os.ReadDir(w.path("clients.d"))
				for _, e := range entries {
					yield(e.Name())
				}
			}); !slices.Equal(got, []string{"laptop.yaml"}) {
				t.Errorf("folder holds %q", got)
			}
		})
	}
}

func TestEnablingTheEnabledChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.client("laptop", "keys: []\n")
	before := w.files()
	if err := SetDisabled(w.path("clients.d/laptop.yaml"), false); err != nil || !reflect.DeepEqual(w.files(), before) {
		t.Errorf("error %v, files %q", err, w.files())
	}
}

func TestSetDisabledRefuses(t *testing.T) {
	for name, content := range map[string]string{
		"a value on the next line": "disabled:\n  false\nlogin: x\n",
		"a value in quotes":        "disabled: \"false\"\n",
		"a comment in between":     "disabled: # why\n  false\n",
		"no value":                 "disabled:\nlogin: x\n",
		"twice":                    "disabled: false\ndisabled: false\n",
		"a longer word":            "disabled: false-ish\n",
		"no YAML":                  "keys: [\n",
		"no mapping":               "- x\n",
		"nothing":                  "",
		"an anchor":                "disabled: &a false\n",
		"two documents":            "login: x\n---\nlogin: y\n",
		"a private key":            "keys: ['-----BEGIN OPENSSH PRIVATE KEY-----']\n",
		"not UTF-8":                "login: \xff\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client("laptop", content)
			before := w.files()
			var problems Problems
			if err := SetDisabled(w.path("clients.d/laptop.yaml"), true); !errors.As(err, &problems) || problems[0].Remedy == "" {
				t.Errorf("error %v", err)
			}
			if after := w.files(); !reflect.DeepEqual(after, before) {
				t.Errorf("files are %q, were %q", after, before)
			}
		})
	}
}

func TestChangesOfWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	if err := os.Symlink(w.path("postern.yaml"), w.path("clients.d/link.yaml")); err != nil {
		t.Fatal(err)
	}
	before := w.files()
	for name, change := range map[string]func() error{
		"disable nothing":         func() error { return SetDisabled(w.path("clients.d/none.yaml"), true) },
		"disable through a link":  func() error { return SetDisabled(w.path("clients.d/link.yaml"), true) },
		"disable in no folder":    func() error { return SetDisabled(w.path("none/none.yaml"), true) },
		"remove nothing":          func() error { return RemoveClient(w.path("clients.d/none.yaml")) },
		"remove no client's file": func() error { return RemoveClient(w.path("clients.d")) },
	} {
		if err := change(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if after := w.files(); !reflect.DeepEqual(after, before) {
		t.Errorf("files are %q, were %q", after, before)
	}
}

func TestRemoveClient(t *testing.T) {
	w := newWorld(t)
	w.client("a", "principals: [a]\n")
	w.client("b", "principals: [b]\n")
	if err := RemoveClient(w.path("clients.d/a.yaml")); err != nil {
		t.Fatal(err)
	}
	if clients := w.mustLoad().Clients; len(clients) != 1 || clients[0].Name != "b" {
		t.Errorf("clients %+v", clients)
	}
}

// specOf returns the spec that writes a client.
func specOf(c registry.Client) ClientSpec {
	spec := ClientSpec{Name: c.Name, Principals: c.Principals, Login: c.Login, Disabled: c.Disabled}
	for _, k := range c.Keys {
		spec.Keys = append(spec.Keys, specKey(k))
	}
	for _, network := range c.From {
		spec.From = append(spec.From, network.String())
	}
	if !c.Expires.IsZero() {
		spec.Expires = c.Expires.Format("2006-01-02T15:04:05.999999999Z07:00")
	}
	spec.Limits, spec.Bounds, spec.Expect = c.Limits, specBounds(c.Bounds), c.Expect
	for _, r := range c.Rules {
		spec.Rules = append(spec.Rules, specRule(r))
	}
	return spec
}
