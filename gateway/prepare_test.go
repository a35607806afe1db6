package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/policy"
	"postern/sandbox"
)

// allowed is a decision for a folder.
func allowed(folder string, change ...func(*policy.Rule)) policy.Decision {
	rule := policy.Rule{Tool: policy.Rsync, Path: folder, Access: policy.ReadWrite}
	for _, c := range change {
		c(&rule)
	}
	owner, _ := OwnerOf(folder)
	return policy.Decision{Verdict: policy.Allow, Tool: policy.Rsync, Direction: policy.Push, Rules: []policy.Rule{rule}, Program: "/bin/true",
		Args: []string{"rsync", "--server", "--", ".", folder}, Dir: folder, Writes: true, User: owner}
}

func TestPrepareOpensTheFolderBeforeAnythingRuns(t *testing.T) {
	base := realFolder(t)
	folder := filepath.Join(base, "folder")
	mkdir(t, folder)
	s := &Server{config: Config{Confinement: sandbox.Full}}
	c, d := s.prepare(allowed(folder))
	defer c.close()
	if d.Verdict != policy.Allow || len(c.order.Paths) != 1 || !c.order.Paths[0].Writable || c.order.Least != sandbox.Full {
		t.Fatalf("%v, %+v", d.Refusal, c.order)
	}
	before, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	rename(t, folder, folder+".moved")
	mkdir(t, folder)
	if after, err := c.order.Paths[0].Folder.Stat(); err != nil || !os.SameFile(before, after) {
		t.Errorf("what is opened is another folder: %v", err)
	}
}

// What changed since the decision, or leads where others want it to, is refused.
func TestPrepareRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, folder string)
		want  string
		root  bool
	}{
		"E3 a folder that a link took the place of": {func(t *testing.T, folder string) {
			rename(t, folder, folder+".moved")
			if err := os.Symlink(folder+".moved", folder); err != nil {
				t.Fatal(err)
			}
		}, "is a symbolic link now", false},
		"a folder that is a file now": {func(t *testing.T, folder string) {
			rename(t, folder, folder+".moved")
			if err := os.WriteFile(folder, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a directory", false},
		"E1 a folder that another one's took the place of": {func(t *testing.T, folder string) {
			rename(t, folder, folder+".moved")
			mkdir(t, folder)
			if err := os.Chown(folder, 12345, 12345); err != nil {
				t.Fatal(err)
			}
		}, "to uid 12345 when it was opened", true},
	} {
		t.Run(name, func(t *testing.T) {
			if test.root && os.Geteuid() != 0 {
				t.Skip("needs root, to give a folder away")
			}
			folder := filepath.Join(realFolder(t), "folder")
			mkdir(t, folder)
			d := allowed(folder)
			test.spoil(t, folder)
			c, d := (&Server{config: Config{Confinement: sandbox.None}}).prepare(d)
			defer c.close()
			if d.Verdict != policy.Deny || d.Refusal.Code != "confinement" || !strings.Contains(d.Refusal.Detail, test.want) {
				t.Errorf("%s, %+v", d.Verdict, d.Refusal)
			}
		})
	}
}

func TestPrepareLimits(t *testing.T) {
	d := allowed(realFolder(t))
	d.Limits = policy.Limits{Files: policy.LimitOf(64), Memory: policy.LimitOf(1 << 30)}
	d.Writes = false
	c, _ := (&Server{config: Config{Confinement: sandbox.None}}).prepare(d)
	defer c.close()
	if got := c.order.Limits; got.Files != 64 || got.Memory != 1<<30 {
		t.Errorf("%+v", got)
	}
	if c.order.Paths[0].Writable {
		t.Error("a child that changes nothing may write")
	}
}

// Children of one user count together, so each gets room for those that run.
func TestPrepareLeavesRoomForTheOthers(t *testing.T) {
	s := &Server{config: Config{Confinement: sandbox.None}}
	s.children.Store(1000)
	c, _ := s.prepare(allowed(realFolder(t)))
	defer c.close()
	if got := c.order.Limits.Processes; got < 1000*childProcesses {
		t.Errorf("%d processes for a thousand children", got)
	}
}

// A child that forks late has room for all sessions that began in between, and for
// those of a gateway that this one follows, as far as the host has.
func TestPrepareLeavesRoomForTheNext(t *testing.T) {
	room := hostProcesses()
	if room == 0 || room > kernelNumber("pid_max")/2 {
		t.Fatalf("half of what this host has for a user are %d processes", room)
	}
	c, _ := (&Server{config: Config{Confinement: sandbox.None}, hostProcesses: room}).prepare(allowed(realFolder(t)))
	defer c.close()
	if got := c.order.Limits.Processes; got != room {
		t.Errorf("%d processes, want %d", got, room)
	}
}

// A borg asks for the numbers of others, and an rsync for nobody's.
func TestPrepareNumbersOfProcesses(t *testing.T) {
	for tool, want := range map[policy.Tool]bool{policy.Borg: true, policy.Rsync: false} {
		d := allowed(realFolder(t))
		d.Tool = tool
		c, _ := (&Server{config: Config{Confinement: sandbox.Full}}).prepare(d)
		if c.close(); c.order.HostPIDs != want {
			t.Errorf("%s: %v", tool, c.order.HostPIDs)
		}
	}
}

func TestHoldOf(t *testing.T) {
	for level, want := range map[sandbox.Level]policy.Hold{
		0: policy.Unheld, sandbox.None: policy.Unheld, sandbox.Landlock: policy.Contents,
		sandbox.Namespaces: policy.Everything, sandbox.Full: policy.Everything,
	} {
		if got := HoldOf(level); got != want {
			t.Errorf("%s: %s, want %s", level, got, want)
		}
	}
}

func realFolder(t *testing.T) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func mkdir(t *testing.T, folder string) {
	t.Helper()
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
