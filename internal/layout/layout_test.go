// Package layout holds the table of who may import whom, and the test that the
// tree obeys it.
package layout

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "postern"

// room is one row of the table: a package of the product, what it may import
// of ours, and why no more.
type room struct {
	may    []string
	reason string
}

// rooms is the table. A package that is not in it fails the test, and so does
// a row that no package answers.
func rooms() map[string]room {
	return map[string]room{
		"cmd/postern": {
			may:    []string{"gateway", "gateway/control", "gateway/door", "gateway/limit", "gateway/upgrade", "configs", "registry", "policy", "audit", "audit/sender", "sandbox"},
			reason: "the one place where parts are put together; nothing imports it",
		},
		"configs": {
			may:    []string{"registry", "policy"},
			reason: "files become clients and rules; the server never sees their type",
		},
		"gateway": {
			may:    []string{"gateway/door", "gateway/limit", "gateway/proxy", "gateway/usage", "gateway/writers", "registry", "policy", "audit", "sandbox"},
			reason: "it is told what to serve, so that a test needs no file and a reload no special case",
		},
		"gateway/usage": {
			may:    []string{"policy"},
			reason: "it counts files; whose they are, and what follows, is for others",
		},
		"gateway/writers": {
			reason: "it knows folders and who waits for them; why they write there is for others",
		},
		"gateway/door": {
			reason: "it counts connections and failures of addresses; who a peer is, and what is recorded, is for others",
		},
		"gateway/upgrade": {
			reason: "it starts a process and passes descriptors on; what they are, and who serves, is for others",
		},
		"gateway/control": {
			reason: "it carries questions and answers; what they are about is for those who ask and answer",
		},
		"gateway/limit": {
			may:    []string{"registry", "policy"},
			reason: "it counts what clients have at the moment, and says what of theirs a limit refuses; who they are is for others",
		},
		"gateway/proxy": {
			reason: "it reads one header; whom to believe, and what follows from it, is for others",
		},
		"registry": {
			may:    []string{"policy"},
			reason: "a client carries its rules; who may come in does not depend on how it connects",
		},
		"policy": {
			reason: "a decision is a function of what it is given, and can be read and tested alone",
		},
		"audit": {
			reason: "the trail records values; it must not be able to ask for them",
		},
		"audit/sender": {
			may:    []string{"audit"},
			reason: "it reads the trail as anybody could, and records what went wrong; the trail does not know it",
		},
		"sandbox": {
			reason: "it holds a child whatever the rest believes",
		},
		"internal/office": {
			may:    []string{"audit"},
			reason: "it writes a trail as a gateway does, to measure and to test by",
		},
		"e2e": {
			reason: "scripts talk to the binary as clients do, and to nothing inside it",
		},
	}
}

// helpers are imported by every room but those named here, and import nothing
// of ours but each other.
func helperFree() map[string]string {
	return map[string]string{
		"policy": "pure: what it needs stands in its own files",
	}
}

// walls forbids packages that are not ours: package, the imports that it must
// not have (a trailing slash is a whole tree), and why.
func walls() map[string]struct {
	not    []string
	reason string
} {
	type wall = struct {
		not    []string
		reason string
	}
	return map[string]wall{
		"policy": {
			not:    []string{"os", "os/", "io/fs", "path/filepath", "net", "net/", "syscall", "time", "log", "log/", "math/rand", "math/rand/", "crypto/rand", "golang.org/x/"},
			reason: "no files, processes, clock, chance or network",
		},
		"registry": {
			not:    []string{"os", "os/", "net/http", "syscall", "log", "log/"},
			reason: "it knows keys, not files; the clock is a parameter",
		},
		"audit": {
			not:    []string{"os/exec", "net/http"},
			reason: "the trail starts nothing and serves nothing",
		},
	}
}

// owners says which room alone may use a library, so that replacing one is a
// change in one place.
func owners() map[string][]string {
	return map[string][]string{
		"github.com/gliderlabs/ssh":                   {"gateway"},
		"github.com/goccy/go-yaml":                    {"configs"},
		"github.com/spf13/cobra":                      {"cmd/postern"},
		"github.com/rs/zerolog":                       {"audit", "cmd/postern", "gateway"},
		"golang.org/x/time/rate":                      {"gateway/limit"},
		"github.com/pires/go-proxyproto":              {"gateway/proxy"},
		"os/exec":                                     {"cmd/postern", "sandbox"},
		"github.com/fsnotify/fsnotify":                {}, // internal/watch
		"github.com/coreos/go-systemd/v22/activation": {}, // internal/listening
		"github.com/coreos/go-systemd/v22/daemon":     {"cmd/postern"},
		"github.com/mattn/go-isatty":                  {},
		"github.com/mattn/go-colorable":               {},
	}
}

// listed is what the go command says of one package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// name is the import path below the module.
func (l listed) name() string { return strings.TrimPrefix(l.ImportPath, module+"/") }

// all is every import, those of the tests too.
func (l listed) all() []string {
	return slices.Concat(l.Imports, l.TestImports, l.XTestImports)
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var found []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
}

// ours returns the name of an import below the module, and whether it is one.
func ours(path string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path, module+"/")
	return name, ok
}

func isHelper(name string) bool { return strings.HasPrefix(name, "internal/") }

// TestImports holds the table for what is built and for the tests alike: a
// test that reaches across a wall is the first sign that the wall is wrong.
func TestImports(t *testing.T) {
	table, none := rooms(), helperFree()
	unseen := maps.Clone(table)
	for _, p := range packages(t) {
		name := p.name()
		delete(unseen, name)
		row, known := table[name]
		if !known && !isHelper(name) {
			t.Errorf("package %s is not in the table: say what it may import and why", name)
			continue
		}
		for _, path := range p.all() {
			to, mine := ours(path)
			switch {
			case !mine || to == name || slices.Contains(row.may, to):
			case isHelper(to) && none[name] == "":
			case isHelper(to):
				t.Errorf("%s imports the helper %s: %s", name, to, none[name])
			case isHelper(name):
				t.Errorf("%s imports %s: a helper is no concept of the product and knows none", name, to)
			default:
				t.Errorf("%s imports %s: %s", name, to, row.reason)
			}
		}
	}
	for name := range unseen {
		t.Errorf("the table has a row for %s, and there is no such package", name)
	}
}

// TestWalls holds what a room promises not to touch. The tests of a room may:
// they need files to read and clocks to turn.
func TestWalls(t *testing.T) {
	table := walls()
	for _, p := range packages(t) {
		wall := table[p.name()]
		for _, path := range p.Imports {
			for _, not := range wall.not {
				if path == not || strings.HasSuffix(not, "/") && strings.HasPrefix(path, not) {
					t.Errorf("%s imports %s: %s", p.name(), path, wall.reason)
				}
			}
		}
	}
}

// TestOwners holds which room may use which library.
func TestOwners(t *testing.T) {
	table := owners()
	for _, p := range packages(t) {
		if isHelper(p.name()) {
			continue
		}
		for _, path := range p.Imports {
			if may, owned := table[path]; owned && !slices.Contains(may, p.name()) {
				t.Errorf("%s imports %s, which belongs to %v", p.name(), path, may)
			}
		}
	}
}
