package layout

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func readLines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, strings.TrimSpace(s.Text()))
	}
	return lines
}

// TestImageGetsItsSources holds that the build of the image finds every package
// of ours that the binary is made of, and the files that those embed: an image is
// built where nobody runs this test.
func TestImageGetsItsSources(t *testing.T) {
	let := readLines(t, ".dockerignore")
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,EmbedFiles", module+"/cmd/postern")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath string
			EmbedFiles []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name, mine := ours(p.ImportPath)
		if !mine {
			continue
		}
		top, _, _ := strings.Cut(name, "/")
		if !slices.Contains(let, "!"+top) {
			t.Errorf(".dockerignore keeps %s from the image's build: add !%s", name, top)
		}
		for _, file := range p.EmbedFiles {
			if strings.Contains(file, "testdata") {
				t.Errorf(".dockerignore keeps %s/%s, which is embedded, from the image's build", name, file)
			}
		}
	}
	for _, line := range let {
		if name, ok := strings.CutPrefix(line, "!"); ok {
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf(".dockerignore names what is not there: %v", err)
			}
		}
	}
}

// TestImageBuildsWithThisGo holds that the image's Go satisfies go.mod.
func TestImageBuildsWithThisGo(t *testing.T) {
	image := find(t, "Dockerfile", regexp.MustCompile(`^FROM golang:(\d+\.\d+)`))
	mod := find(t, "go.mod", regexp.MustCompile(`^go (\d+\.\d+)`))
	if image != mod {
		t.Errorf("the Dockerfile has Go %s, go.mod %s", image, mod)
	}
}

// TestDocumentsNameWhatIsThere holds the links of the documents.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)\)`)
	found := 0
	for _, name := range []string{"README.md", "SECURITY.md", "CHANGELOG.md", "docs/policy.md", "docs/threat-model.md", "docs/door.md"} {
		for _, line := range readLines(t, name) {
			for _, match := range link.FindAllStringSubmatch(line, -1) {
				if strings.Contains(match[1], "://") {
					continue
				}
				found++
				if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), match[1])); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no links found: the expression matches nothing")
	}
}

func find(t *testing.T, file string, expression *regexp.Regexp) string {
	t.Helper()
	for _, line := range readLines(t, file) {
		if match := expression.FindStringSubmatch(line); match != nil {
			return match[1]
		}
	}
	t.Fatalf("%s: no line matches %s", file, expression)
	return ""
}
