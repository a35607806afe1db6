package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// world is a gateway's files in a folder of the test.
type world struct {
	t      testing.TB
	folder string
}

const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMMD3dyjlpNvUmORbkVMnPwBUR/rDw8fBE/cFVCUCpI/"

// newWorld makes a gateway's own file, with the lines, and a folder for clients.
func newWorld(t testing.TB, lines ...string) *world {
	t.Helper()
	w := &world{t, t.TempDir()}
	for _, folder := range []string{"clients.d", "state"} {
		if err := os.Mkdir(w.path(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.write("postern.yaml", strings.Join(append([]string{"state: state"}, lines...), "\n")+"\n")
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

func (w *world) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) client(name, content string) {
	w.t.Helper()
	w.write("clients.d/"+name+".yaml", content)
}

// options are those of the tests: days end in UTC.
func (w *world) options() options {
	return options{uid: os.Geteuid(), zone: time.UTC, users: testUsers()}
}

func (w *world) load() (*Config, error) { return load(w.path("postern.yaml"), w.options()) }

func (w *world) mustLoad() *Config {
	w.t.Helper()
	cfg, err := w.load()
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// problems returns the problems of a load, one a line, as the broken files carry
// them. The folder of the test reads DIR.
func (w *world) problems(err error) string {
	w.t.Helper()
	found, ok := err.(Problems)
	if !ok {
		w.t.Fatalf("error %v is a %T, want Problems", err, err)
	}
	var b strings.Builder
	for _, p := range found {
		if p.Message == "" || p.Remedy == "" {
			w.t.Errorf("problem without message or remedy: %+v", p)
		}
		place := ""
		if p.Line > 0 {
			place = fmt.Sprintf("%d:%d: ", p.Line, p.Column)
		}
		fmt.Fprintf(&b, "# want: %s%s\n# remedy: %s\n", place, p.Message, p.Remedy)
	}
	return strings.ReplaceAll(b.String(), w.folder, "DIR")
}

var wanted = regexp.MustCompile(`(?m)^# (want|remedy): .*\n`)

// TestBrokenFiles loads each file of testdata and compares everything that is
// wrong with the comments at its end.
func TestBrokenFiles(t *testing.T) {
	for _, kind := range []struct {
		folder string
		least  int
		place  func(w *world, content string)
	}{
		{"client", 80, func(w *world, content string) { w.client("laptop", content) }},
		{"gateway", 30, func(w *world, content string) { w.write("postern.yaml", content) }},
		{"revoked", 1, func(w *world, content string) {
			w.write("postern.yaml", "state: state\ncertificates: {revoked: revoked_keys}\n")
			w.write("revoked_keys", content)
		}},
	} {
		files, err := filepath.Glob(filepath.Join("testdata", kind.folder, "*"))
		if err != nil || len(files) < kind.least {
			t.Fatalf("%d files of kind %s, error %v, want at least %d", len(files), kind.folder, err, kind.least)
		}
		for _, file := range files {
			t.Run(kind.folder+"/"+filepath.Base(file), func(t *testing.T) {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				w := newWorld(t)
				kind.place(w, string(content))
				cfg, err := w.load()
				if err == nil {
					t.Fatalf("loaded as %+v", cfg)
				}
				want := strings.Join(wanted.FindAllString(string(content), -1), "")
				if got := w.problems(err); got != want {
					t.Errorf("problems\n%swant\n%s", got, want)
				}
			})
		}
	}
}
