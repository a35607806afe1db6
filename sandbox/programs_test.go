package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/sandbox"
)

const remoteVerb = "remote"

// remote stands between a stock client and a confined server, in the place of
// ssh: it runs the order in a file with the words that the client sent.
func remote(file string, words []string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var o sandbox.Order
	if err := json.Unmarshal(text, &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o.Args = words
	text, _ = json.Marshal(o)
	return beGateway(string(text), sandbox.Start)
}

// serve writes an order for a server and returns the command of the starter that
// stands for ssh towards it.
func (s starter) serve(t *testing.T, base string, o sandbox.Order) string {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil {
		err = os.WriteFile(filepath.Join(base, "order.json"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(s.words(base, remoteVerb, filepath.Join(base, "order.json")), " ")
}

// yard makes the folders of a client and a server: the first is the gateway's
// user's, the second the child's.
func yard(t *testing.T, s starter) (base, client, server string) {
	t.Helper()
	base = publicDir(t)
	copyFile(t, self, filepath.Join(base, "program"))
	client, server = filepath.Join(base, "client"), filepath.Join(base, "server")
	if err := errors.Join(os.Mkdir(client, 0o755), os.Mkdir(server, 0o755)); err != nil {
		t.Fatal(err)
	}
	chown(t, client, s.gateway)
	chown(t, server, s.child)
	return base, client, server
}

func chown(t *testing.T, path string, u sandbox.User) {
	t.Helper()
	err := filepath.WalkDir(path, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(u.UID), int(u.GID)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes one of everything that a backup keeps.
func tree(t *testing.T, dir string, s starter) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(
		os.MkdirAll(at("a/b"), 0o750), os.Mkdir(at("empty"), 0o700),
		os.WriteFile(at("a/file"), []byte("text\n"), 0o640), os.WriteFile(at("a/b/large"), make([]byte, 3<<20), 0o600),
		os.Link(at("a/file"), at("linked")), os.Symlink("a/file", at("symlink")), os.Symlink("/etc/passwd", at("leads out")),
		unix.Mkfifo(at("fifo"), 0o600), unix.Setxattr(at("linked"), "user.mark", []byte("mark"), 0))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("setfacl", "-m", "u:"+strconv.Itoa(int(s.child.UID))+":r", at("a/b/large")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	chown(t, dir, s.gateway)
}

// client runs a stock client as the gateway's user.
func (s starter) client(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	cmd := s.run(t, program, args...)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// each runs a test for each starter at each level.
func each(t *testing.T, users []starter, levels []sandbox.Level, test func(t *testing.T, s starter, l sandbox.Level)) {
	for _, s := range users {
		for _, l := range levels {
			t.Run(s.name+"/"+l.String(), func(t *testing.T) {
				t.Parallel()
				test(t, s, l)
			})
		}
	}
}

// rsyncs are the server's versions: the one of today, and an older one that
// nobody patched.
func rsyncs(t *testing.T) []string {
	t.Helper()
	list := []string{"/usr/bin/rsync"}
	for _, old := range []string{os.Getenv("POSTERN_E2E_RSYNC_OLD"), "../bin/rsync-3.2.7/usr/bin/rsync"} {
		if old, err := filepath.Abs(old); err == nil && !strings.HasSuffix(old, "/sandbox") {
			if _, err := os.Stat(old); err == nil {
				return append(list, old)
			}
		}
	}
	t.Log("no older rsync: neither POSTERN_E2E_RSYNC_OLD nor bin/rsync-3.2.7 is there")
	return list
}

func TestRsyncKeepsEverythingAtEachLevel(t *testing.T) {
	for _, program := range rsyncs(t) {
		each(t, starters(), levels, func(t *testing.T, s starter, l sandbox.Level) { testRsync(t, s, l, program) })
	}
}

func testRsync(t *testing.T, s starter, l sandbox.Level, program string) {
	base, client, server := yard(t, s)
	source, back := filepath.Join(client, "source"), filepath.Join(client, "back")
	tree(t, source, s)
	o := s.order(t, base, l)
	o.Program, o.Env = filepath.Join(base, "rsync"), []string{"HOME=/nonexistent"}
	copyFile(t, program, o.Program)
	o.Dir, o.Umask = server, 0o022
	o.Paths = []sandbox.Path{{Path: server, Writable: true}}
	s.client(t, nil, "/usr/bin/rsync", "-aHAX", "--numeric-ids", "-e", s.serve(t, base, o), source+"/", "x:"+server+"/dest/")
	s.client(t, nil, "/usr/bin/rsync", "-aHAX", "-e", s.serve(t, base, o), "--delete", source+"/", "x:"+server+"/dest/")
	o.Paths[0].Writable = false
	s.client(t, nil, "/usr/bin/rsync", "-aHAX", "-e", s.serve(t, base, o), "x:"+server+"/dest/", back+"/")
	differences := s.client(t, nil, "/usr/bin/rsync", "-nic", "-rlptDHAX", "--delete", source+"/", back+"/")
	if differences != "" {
		t.Errorf("came back differently:\n%s", differences)
	}
}

// Borg takes seconds, so that the user sees the strongest level alone.
func TestBorgAtEachLevel(t *testing.T) {
	users := starters()
	each(t, users[:1], levels, testBorg)
	if len(users) > 1 {
		each(t, users[1:2], []sandbox.Level{full}, testBorg)
	}
}

// borg writes its host and number into the lock of a repository and removes a
// lock whose holder the kernel does not know. With numbers of their own each
// session would be nobody to the other, or the very same, and two would write.
func testBorg(t *testing.T, s starter, l sandbox.Level) {
	b := newBorg(t, s, l)
	b.run("init", "-e", "none")
	holder := b.hold()
	second := b.command("--lock-wait", "1", "create", "::second", b.source)
	// The cache has a lock too, and here it is about the other.
	second.Env = append(second.Env, "BORG_BASE_DIR="+b.source+".second")
	out, err := second.CombinedOutput()
	if want := "Failed to create/acquire the lock " + b.repo + "/lock"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("the second session was not refused: %v: %s", err, out)
	}
	holder.Process.Kill()
	holder.Wait()
	b.await("the lock is not given back", false)
	b.run("create", "::third", b.source)
	if list := b.run("list", "--short", "::third"); !strings.Contains(list, "source/a/b/large") {
		t.Errorf("the archive contains %s", list)
	}
	if l == full {
		b.run("delete", "::third")
		b.run("compact")
	}
}

// borgServer is a confined server of one repository, with its clients.
type borgServer struct {
	t            *testing.T
	s            starter
	repo, source string
	env          []string
}

func newBorg(t *testing.T, s starter, l sandbox.Level) borgServer {
	base, client, server := yard(t, s)
	b := borgServer{t: t, s: s, repo: filepath.Join(server, "repo"), source: filepath.Join(client, "source")}
	tree(t, b.source, s)
	o := s.order(t, base, l)
	o.HostPIDs, o.Program = true, "/usr/bin/borg"
	o.Env = []string{
		"HOME=/nonexistent", "BORG_BASE_DIR=/nonexistent", "BORG_HOST_ID=postern@test", "BORG_SELFTEST=disabled",
		"PYTHONNOUSERSITE=1", "LANG=C.UTF-8", "PATH=/usr/bin:/bin",
	}
	o.Paths = []sandbox.Path{{Path: server, Writable: true}}
	b.env = []string{
		"BORG_RSH=" + s.serve(t, base, o), "BORG_BASE_DIR=" + filepath.Join(client, "borg"), "BORG_REPO=ssh://x" + b.repo,
		"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes", "BORG_SELFTEST=disabled", "LANG=C.UTF-8",
	}
	return b
}

func (b borgServer) command(args ...string) *exec.Cmd {
	cmd := b.s.run(b.t, "/usr/bin/borg", args...)
	cmd.Env = append(cmd.Env, b.env...)
	return cmd
}

func (b borgServer) run(args ...string) string {
	return b.s.client(b.t, b.env, "/usr/bin/borg", args...)
}

// hold starts a client that holds the lock of the repository.
func (b borgServer) hold() *exec.Cmd {
	b.t.Helper()
	holder := b.command("create", "::first", "-")
	input, output, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { output.Close() })
	holder.Stdin = input
	err = holder.Start()
	input.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { holder.Process.Kill() })
	b.await("the first session takes no lock", true)
	return holder
}

// await waits until the repository is locked, or is not.
func (b borgServer) await(complaint string, locked bool) {
	b.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for locked != (unix.Access(filepath.Join(b.repo, "lock.exclusive"), 0) == nil) {
		if time.Now().After(deadline) {
			b.t.Fatal(complaint)
		}
		time.Sleep(time.Millisecond)
	}
}
