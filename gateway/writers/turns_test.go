package writers_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"postern/gateway/writers"
)

// helper is how this binary is told to lock a folder and keep it so.
const helper = "POSTERN_TEST_LOCK"

func TestMain(m *testing.M) {
	if folder := os.Getenv(helper); folder != "" {
		lockFor(folder)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// folders makes the tree that the tests are about, and returns its top.
func folders(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	for _, name := range []string{"a/b", "ab", "c"} {
		if err := os.MkdirAll(filepath.Join(top, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func session(id string, wait time.Duration, claims ...writers.Claim) writers.Session {
	return writers.Session{ID: id, Client: "laptop", Claims: claims, Wait: wait}
}

func sole(folder string) writers.Claim   { return writers.Claim{Folder: folder, Sole: true} }
func shared(folder string) writers.Claim { return writers.Claim{Folder: folder} }

// mustEnter lets somebody in who has to wait for nobody.
func mustEnter(t *testing.T, turns *writers.Turns, s writers.Session, all ...string) (leave func()) {
	t.Helper()
	s.Wait = 0
	leave, err := turns.Enter(t.Context(), s, all)
	if err != nil {
		t.Fatalf("%s: %v", s.ID, err)
	}
	return leave
}

// Who may write beside whom, within one gateway and between two, which know of each
// other by the locks alone.
func TestWhoWritesBesideWhom(t *testing.T) {
	top := folders(t)
	a, b, twin, c := top+"/a", top+"/a/b", top+"/ab", top+"/c"
	for name, test := range map[string]struct {
		first, second []writers.Claim
		// rules are the folders of all rules with one writer.
		rules []string
		want  bool
	}{
		"nobody asks for it":             {[]writers.Claim{shared(a)}, []writers.Claim{shared(a)}, nil, true},
		"the same folder":                {[]writers.Claim{sole(a)}, []writers.Claim{sole(a)}, []string{a}, false},
		"the second asks":                {[]writers.Claim{shared(a)}, []writers.Claim{sole(a)}, []string{a}, false},
		"the first asks":                 {[]writers.Claim{sole(a)}, []writers.Claim{shared(a)}, []string{a}, false},
		"below the one that asks":        {[]writers.Claim{sole(a)}, []writers.Claim{shared(b)}, []string{a}, false},
		"below, and it asks":             {[]writers.Claim{shared(a)}, []writers.Claim{sole(b)}, []string{b}, false},
		"above the one that asks":        {[]writers.Claim{sole(b)}, []writers.Claim{shared(a)}, []string{b}, false},
		"above, and it asks":             {[]writers.Claim{shared(b)}, []writers.Claim{sole(a)}, []string{a}, false},
		"both ask, one below":            {[]writers.Claim{sole(a)}, []writers.Claim{sole(b)}, []string{a, b}, false},
		"both ask, one above":            {[]writers.Claim{sole(b)}, []writers.Claim{sole(a)}, []string{a, b}, false},
		"a twin of the name":             {[]writers.Claim{sole(a)}, []writers.Claim{sole(twin)}, []string{a, twin}, true},
		"elsewhere":                      {[]writers.Claim{sole(a)}, []writers.Claim{sole(c)}, []string{a, c}, true},
		"neighbours below one that asks": {[]writers.Claim{shared(b)}, []writers.Claim{shared(a)}, []string{top}, true},
		"one of several folders":         {[]writers.Claim{shared(c), sole(b)}, []writers.Claim{shared(twin), shared(a)}, []string{b}, false},
		"a folder that is not there":     {[]writers.Claim{sole(a)}, []writers.Claim{shared(top + "/none")}, []string{a}, true},
	} {
		for gateways, second := range map[string]*writers.Turns{"one gateway": nil, "two gateways": writers.New(os.Open)} {
			t.Run(name+", "+gateways, func(t *testing.T) {
				first := writers.New(os.Open)
				if second == nil {
					second = first
				}
				leave := mustEnter(t, first, session("first", 0, test.first...), test.rules...)
				other, err := second.Enter(t.Context(), session("second", 0, test.second...), test.rules)
				if (err == nil) != test.want {
					t.Errorf("beside each other: %v, want %v", err, test.want)
				}
				var busy *writers.Busy
				if err != nil && (!errors.As(err, &busy) || !mine(test.second, busy.Folder) || (busy.By == "first") != (second == first)) {
					t.Errorf("refused with %v", err)
				}
				if err == nil {
					other()
				}
				leave()
				mustEnter(t, second, session("second", 0, test.second...), test.rules...)()
			})
		}
	}
}

func mine(claims []writers.Claim, folder string) bool {
	for _, c := range claims {
		if c.Folder == folder {
			return true
		}
	}
	return false
}

// Those that wait come in the order in which they came, and one that nobody is in the
// way of overtakes them.
func TestOrder(t *testing.T) {
	top := folders(t)
	a, b, c := top+"/a", top+"/a/b", top+"/c"
	rules := []string{a, c}
	turns := writers.New(os.Open)
	leave := mustEnter(t, turns, session("first", 0, sole(a)), rules...)
	order, waiting := make(chan string), make(chan string)
	enter := func(id string, claim writers.Claim) {
		s := session(id, patience, claim)
		s.Waits = func(folder string) { waiting <- folder }
		go func() {
			left, err := turns.Enter(context.Background(), s, rules)
			if err != nil {
				t.Error(err)
				return
			}
			order <- id
			left()
		}()
		if folder := <-waiting; folder != claim.Folder {
			t.Errorf("%s waits at %s", id, folder)
		}
	}
	enter("second", shared(b))
	enter("third", sole(a))
	mustEnter(t, turns, session("elsewhere", 0, sole(c)), rules...)()
	if _, err := turns.Enter(t.Context(), session("impatient", 0, shared(b)), rules); err == nil {
		t.Error("one that came later overtook one that waits")
	}
	leave()
	for _, want := range []string{"second", "third"} {
		if got := <-order; got != want {
			t.Errorf("%s came, want %s", got, want)
		}
	}
}

// Whoever gives up waits no more, and is in nobody's way.
func TestGivingUp(t *testing.T) {
	a := folders(t) + "/a"
	turns := writers.New(os.Open)
	leave := mustEnter(t, turns, session("first", 0, sole(a)), a)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := session("second", patience, sole(a))
	s.Waits = func(string) { cancel(gone) }
	if _, err := turns.Enter(ctx, s, []string{a}); !errors.Is(err, gone) {
		t.Errorf("ended with %v", err)
	}
	leave()
	mustEnter(t, turns, session("third", 0, sole(a)), a)()
}

// One client cannot fill the list of those that wait.
func TestCrowd(t *testing.T) {
	a := folders(t) + "/a"
	turns := writers.New(os.Open)
	leave := mustEnter(t, turns, session("first", 0, sole(a)), a)
	ctx, cancel := context.WithCancel(t.Context())
	waiting, ended := make(chan struct{}), make(chan error)
	enter := func() {
		s := session("next", patience, sole(a))
		s.Waits = func(string) { waiting <- struct{}{} }
		_, err := turns.Enter(ctx, s, []string{a})
		ended <- err
	}
	most := 0
	for crowded := false; !crowded; {
		go enter()
		select {
		case <-waiting:
			most++
		case err := <-ended:
			crowded = errors.Is(err, writers.ErrCrowded)
			if !crowded || most < 2 {
				t.Fatalf("%d wait, and the next: %v", most, err)
			}
		}
	}
	other := session("another", 0, sole(a))
	other.Client = "www"
	var busy *writers.Busy
	if _, err := turns.Enter(t.Context(), other, []string{a}); !errors.As(err, &busy) {
		t.Errorf("another client: %v", err)
	}
	cancel()
	for range most {
		<-ended
	}
	leave()
}

// What another process has locked is free once that is killed, at the latest.
func TestAnotherProcess(t *testing.T) {
	a := folders(t) + "/a"
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{helper + "=" + a}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	turns := writers.New(os.Open)
	var busy *writers.Busy
	if _, err := turns.Enter(t.Context(), session("first", 0, sole(a)), []string{a}); !errors.As(err, &busy) || busy.By != "" || busy.Folder != a {
		t.Errorf("entered, or %v", err)
	}
	s := session("second", patience, sole(a))
	s.Waits = func(string) { _ = cmd.Process.Kill() }
	leave, err := turns.Enter(t.Context(), s, []string{a})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	_ = cmd.Wait()
}

// lockFor says that it has locked a folder, and waits to be killed.
func lockFor(folder string) {
	file, err := os.Open(folder)
	if err == nil {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("x")
	select {}
}

// A folder that cannot be locked lets nobody in who must be alone, and all others.
func TestNoLocks(t *testing.T) {
	none := folders(t) + "/none"
	turns := writers.New(os.Open)
	if _, err := turns.Enter(t.Context(), session("first", 0, sole(none)), []string{none}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("entered, or %v", err)
	}
	mustEnter(t, turns, session("second", 0, shared(none)))()
}

// A folder can be locked whether or not somebody has locked it, and is free afterwards.
func TestLockable(t *testing.T) {
	a := folders(t) + "/a"
	folder, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	turns := writers.New(os.Open)
	leave := mustEnter(t, turns, session("first", 0, sole(a)), a)
	if err := writers.Lockable(folder); err != nil {
		t.Errorf("one that is locked: %v", err)
	}
	leave()
	if err := writers.Lockable(folder); err != nil {
		t.Error(err)
	}
	mustEnter(t, turns, session("second", 0, sole(a)), a)()
	reference, err := unix.Open(a, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unlockable := os.NewFile(uintptr(reference), a)
	defer unlockable.Close()
	if err := writers.Lockable(unlockable); err == nil {
		t.Error("a file without locks can be locked")
	}
}
