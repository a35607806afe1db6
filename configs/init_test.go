package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestInit(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "etc", "postern", "postern.yaml")
	state := filepath.Join(folder, "var", "lib", "state of: postern")
	created, err := Init(path, []string{"127.0.0.1:2222", "[::1]:2222"}, state)
	if err != nil {
		t.Fatal(err)
	}
	modes := []struct {
		name string
		mode fs.FileMode
	}{
		{"etc", fs.ModeDir | 0o755},
		{"etc/postern", fs.ModeDir | 0o700},
		{"etc/postern/clients.d", fs.ModeDir | 0o700},
		{"var", fs.ModeDir | 0o755},
		{"var/lib", fs.ModeDir | 0o755},
		{"var/lib/state of: postern", fs.ModeDir | 0o700},
		{"etc/postern/postern.yaml", 0o600},
	}
	var want []string
	for _, m := range modes {
		want = append(want, filepath.Join(folder, m.name))
		if info, err := os.Lstat(filepath.Join(folder, m.name)); err != nil || info.Mode() != m.mode {
			t.Errorf("%s: %v, %v", m.name, info, err)
		}
	}
	if !slices.Equal(created, want) {
		t.Errorf("created %q, want %q", created, want)
	}
	cfg, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.State != state || !slices.Equal(cfg.Listen, []string{"127.0.0.1:2222", "[::1]:2222"}) {
		t.Errorf("config %+v", cfg)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), "\n"); got != strings.Count(sample(t, "postern.yaml"), "\n") {
		t.Errorf("%d lines: it is not the whole reference", got)
	}
}

func TestInitDefaults(t *testing.T) {
	if got := initial(nil, ""); got != sample(t, "postern.yaml") {
		t.Errorf("the default is not the reference but\n%s", got)
	}
	for _, line := range []string{referenceListen, referenceState} {
		if strings.Count(sample(t, "postern.yaml"), line) != 1 {
			t.Errorf("the reference does not hold %q once", line)
		}
	}
}

func TestInitInAnExistingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("state", 0o750); err != nil {
		t.Fatal(err)
	}
	created, err := Init("postern.yaml", nil, "state")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{here + "/clients.d", here + "/postern.yaml"}; !slices.Equal(created, want) {
		t.Errorf("created %q, want %q", created, want)
	}
	if info, err := os.Stat("state"); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the state folder was changed: %v, %v", info, err)
	}
	if _, err := Load("postern.yaml"); err != nil {
		t.Error(err)
	}
}

func TestInitRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		listen []string
		state  string
		want   string
	}{
		{"an address without a port", []string{"2222"}, "", "is not an address with a port"},
		{"an address twice", []string{":1", ":1"}, "", "occurs twice"},
		{"YAML in an address", []string{":1\"]\nclients: /etc #"}, "", "listen has more than one line"},
		{"the root as state", nil, "/", "cannot be the root"},
		{"a control character", nil, "/a\x1bb", "cannot be printed"},
		{"YAML in the state", nil, "/a\nclients: /etc", "more than one line"},
		{"a private key", nil, "-----BEGIN OPENSSH PRIVATE KEY-----", privateKeyMessage},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			created, err := Init(folder+"/postern.yaml", test.listen, test.state)
			problems, _ := err.(Problems)
			if len(problems) == 0 || !strings.Contains(problems.Error(), test.want) || len(created) > 0 {
				t.Errorf("created %q, error %v, want %q", created, err, test.want)
			}
			if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
				t.Errorf("folder holds %v, %v", entries, err)
			}
		})
	}
}

func TestInitKeepsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	before := w.files()
	created, err := Init(w.path("postern.yaml"), nil, "elsewhere")
	if !errors.Is(err, fs.ErrExist) || len(created) > 0 || w.files()[w.path("postern.yaml")] != before[w.path("postern.yaml")] {
		t.Errorf("created %q, error %v", created, err)
	}
	if _, err := Init(w.path("postern.yaml/x/postern.yaml"), nil, ""); err == nil {
		t.Error("made a folder of a file")
	}
	file := w.path("file")
	w.write("file", "")
	created, err = Init(w.path("new/postern.yaml"), nil, file)
	if err == nil || !slices.Equal(created, []string{w.path("new"), w.path("new/clients.d")}) {
		t.Errorf("created %q, error %v", created, err)
	}
}
