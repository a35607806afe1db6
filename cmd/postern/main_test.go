package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"postern/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main(os.Args)
	// The files of the scripts must not be writable by others, whoever runs
	// the tests.
	syscall.Umask(0o022)
	testscript.Main(suite{m}, nil)
}

// suite builds postern once, without the race detector, which would take up most
// of the time of the hundreds of commands that the tests run.
type suite struct{ m *testing.M }

// Run is called by [testscript.Main].
func (s suite) Run() int {
	folder, err := os.MkdirTemp("", "postern-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	build := exec.Command("go", "build", "-race=false", "-o", filepath.Join(folder, "postern"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	os.Setenv("PATH", folder+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return s.m.Run()
}

// TestScripts runs the real main in an empty folder for each script.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: scripts,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, "tmp"))
			return os.MkdirAll(filepath.Join(e.WorkDir, "tmp"), 0o700)
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, os.ErrInvalid
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"json":   jsonField,
			"tree":   listTree,
			"give":   give,
		},
	})
}

// give gives folders to a user that is not root, as whom no child runs unasked:
// give data
func give(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: give folder...")
	}
	for _, folder := range args {
		if os.Geteuid() == 0 {
			ts.Check(os.Chown(ts.MkAbs(folder), 1026, 100))
		}
	}
}

// status runs postern and compares the exit status: status 2 postern client
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("status %s, want %s", got, args[0])
	}
}

// jsonField reads the output of the last command as one JSON value and compares
// a field of it: json decision allow, json findings.0.line 3. Without a value
// the field must be there; without a field the output must be JSON.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	var value any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	ts.Check(d.Decode(&value))
	if d.More() {
		ts.Fatalf("more than one JSON value")
	}
	if len(args) == 0 {
		return
	}
	for name := range strings.SplitSeq(args[0], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(v) {
				ts.Fatalf("no item %q", name)
			}
			value = v[i]
		default:
			value = nil
		}
	}
	got := fmt.Sprint(value)
	same := value != nil && (len(args) < 2 || got == args[1])
	if same == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

// listTree writes what lies below a folder to a file: names, modes and hashes of
// the content. Files named before and after are such lists, and left out.
func listTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tree folder file")
	}
	var b strings.Builder
	root := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.Name() == "before" || d.Name() == "after" {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			content = []byte(ts.ReadFile(path))
		}
		name, err := filepath.Rel(root, path)
		fmt.Fprintf(&b, "%s %s %x\n", info.Mode(), name, sha256.Sum256(content))
		return err
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o600))
}
