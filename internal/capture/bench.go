package main

import (
	"context"
	"errors"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience is how long one client may take: they take milliseconds, but borg
// on a busy machine takes a second to start.
const patience = 30 * time.Second

// atOnce is how many clients run at the same time.
const atOnce = 4

// call is one command line of a user.
type call struct {
	// argv is what the user types; words NAME=VALUE before the program's
	// name go into the environment.
	argv []string
	// direction is push, pull or serve.
	direction string
	// local says that the client does all of it here and starts no remote
	// shell, which is checked.
	local bool
	// since is the first version that knows the option; empty means all.
	since string
}

// newerThan reports whether the version does not know the call yet. Versions
// of clients have the form of Go's.
func (c call) newerThan(client string) bool {
	return c.since != "" && version.Compare("go"+c.since, "go"+client) > 0
}

// bench is a temporary place where clients run.
type bench struct{ dir string }

// newBench makes the place; remove deletes it.
func newBench() (*bench, error) {
	dir, err := os.MkdirTemp("", "capture-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir}
	if err := b.furnish(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

func (b *bench) remove() { _ = os.RemoveAll(b.dir) }

// furnish makes the stand-in and the files that the tables' options name.
func (b *bench) furnish() error {
	// Rsync's --copy-as starts the remote shell as another user.
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, folder := range []string{"bin", "home", "work/src", "work/dst", "records"} {
		if err := os.MkdirAll(filepath.Join(b.dir, folder), 0o777); err != nil {
			return err
		}
	}
	if err := os.Symlink(self, filepath.Join(b.dir, "bin", standInName)); err != nil {
		return err
	}
	contents := map[string]string{"src/file": "file\n", "list": "file\n", "rules": "- *.bak\n", "secret": "secret\n"}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(b.dir, "work", name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(b.dir, "records"), 0o777)
}

// write runs every call of one client and writes the result to its file.
func (b *bench) write(out, name string, client binary, calls func() []call, help func(string) ([]string, error)) error {
	if err := b.checkVersion(name, client); err != nil {
		return err
	}
	wanted := slices.DeleteFunc(calls(), func(c call) bool { return c.newerThan(client.version) })
	if err := b.checkComplete(client, wanted, help); err != nil {
		return err
	}
	lines, err := b.runAll(name, client, wanted)
	if err != nil {
		return err
	}
	return writeLines(filepath.Join(out, name+"-"+client.version+".jsonl"), lines)
}

// runAll runs the calls, a few at once, and returns a line for each that
// reached the remote host.
func (b *bench) runAll(name string, client binary, calls []call) ([]line, error) {
	lines := make([]line, len(calls))
	errs := make([]error, len(calls))
	places := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i, c := range calls {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			record := filepath.Join(b.dir, "records", fmt.Sprintf("%s-%s-%d", name, client.version, i))
			lines[i], errs[i] = b.runOne(name, client, c, record)
		})
	}
	running.Wait()
	sent := slices.DeleteFunc(lines, func(l line) bool { return l.Exec == "" })
	return sent, errors.Join(errs...)
}

// runOne runs one call and returns what the remote host would have got.
func (b *bench) runOne(name string, client binary, c call, record string) (line, error) {
	said, runErr := b.start(client.path, c.argv, recordVariable+"="+record)
	content, err := os.ReadFile(record)
	if errors.Is(err, os.ErrNotExist) {
		if c.local {
			return line{}, nil
		}
		return line{}, errors.Join(fmt.Errorf("%s %s: %q started no remote shell: %s", name, client.version, c.argv, said), runErr)
	}
	if err != nil {
		return line{}, err
	}
	if c.local {
		return line{}, fmt.Errorf("%s %s: %q is marked local, but started a remote shell", name, client.version, c.argv)
	}
	items := strings.Split(string(content), "\x00")
	return line{Client: name + " " + client.version, Argv: c.argv, Direction: c.direction, Exec: items[0], Secluded: items[1:]}, nil
}

// start runs a client to its end, in the work folder, and returns what it
// said. Its failure is expected: the stand-in hangs up.
func (b *bench) start(program string, argv []string, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	first := slices.IndexFunc(argv, func(word string) bool { return !strings.Contains(word, "=") })
	cmd := exec.CommandContext(ctx, program, argv[first+1:]...)
	cmd.Dir = filepath.Join(b.dir, "work")
	cmd.Env = slices.Concat(b.environment(), env, argv[:first])
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// environment is the whole environment of a client, so that nothing of the
// caller's changes what it sends.
func (b *bench) environment() []string {
	return []string{
		"PATH=" + filepath.Join(b.dir, "bin") + ":/usr/bin:/bin",
		"HOME=" + filepath.Join(b.dir, "home"),
		"LC_ALL=C.UTF-8",
		"BORG_SELFTEST=disabled",
		"BORG_PASSPHRASE=secret",
		"BORG_NEW_PASSPHRASE=secret",
		"BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=YES",
		"BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES",
		"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes",
	}
}

// checkVersion makes sure that the binary is what the flag says.
func (b *bench) checkVersion(name string, client binary) error {
	said, err := b.start(client.path, []string{name, "--version"})
	if err != nil {
		return fmt.Errorf("%s --version: %w: %s", client.path, err, said)
	}
	first, _, _ := strings.Cut(said, "\n")
	if !slices.Contains(strings.Fields(first), client.version) {
		return fmt.Errorf("%s is not %s %s, it says %q", client.path, name, client.version, first)
	}
	return nil
}

// checkComplete makes sure that every option of the client's help is called.
func (b *bench) checkComplete(client binary, calls []call, help func(string) ([]string, error)) error {
	text, err := b.start(client.path, []string{"", "--help"})
	if err != nil {
		return fmt.Errorf("%s --help: %w: %s", client.path, err, text)
	}
	listed, err := help(text)
	if err != nil {
		return fmt.Errorf("%s --help: %w", client.path, err)
	}
	missing := slices.DeleteFunc(listed, func(word string) bool {
		return slices.ContainsFunc(calls, func(c call) bool { return c.uses(word) })
	})
	if len(missing) > 0 {
		return fmt.Errorf("%s %s: no call uses %q; add each to the table", client.path, client.version, missing)
	}
	return nil
}

// uses reports whether the call holds the option or subcommand.
func (c call) uses(word string) bool {
	return slices.ContainsFunc(c.argv, func(given string) bool {
		if given == word || strings.HasPrefix(given, word+"=") {
			return true
		}
		short := len(word) == 2 && word[0] == '-'
		return short && strings.HasPrefix(given, word)
	})
}
