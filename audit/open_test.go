package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"postern/audit"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == writerVerb {
		os.Exit(beWriter(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// keeping is a trail in a folder, with a clock that the test moves.
type keeping struct {
	t     *testing.T
	dir   string
	o     audit.Options
	trail *audit.Trail
	time  atomic.Int64
}

func keep(t *testing.T, change ...func(*audit.Options)) *keeping {
	t.Helper()
	k := &keeping{t: t, dir: filepath.Join(t.TempDir(), "audit")}
	k.time.Store(clock().Unix())
	k.o = audit.Options{Dir: k.dir, Prints: io.Discard, Now: func() time.Time { return time.Unix(k.time.Load(), 0) }}
	for _, c := range change {
		c(&k.o)
	}
	k.open()
	t.Cleanup(func() { k.trail.Close() })
	return k
}

func (k *keeping) open() {
	k.t.Helper()
	trail, err := audit.Open(k.o)
	if err != nil {
		k.t.Fatal(err)
	}
	k.trail = trail
}

func (k *keeping) close() {
	k.t.Helper()
	if err := k.trail.Close(); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeping) wait(d time.Duration) { k.time.Add(int64(d / time.Second)) }

// session records one, by its number.
func (k *keeping) session(n int) {
	k.t.Helper()
	id := fmt.Sprintf("%016x.1", n)
	c := from
	c.ID = id[:16]
	err := errors.Join(k.trail.ConnectionAccepted(c),
		k.trail.SessionDecided(c, audit.Decision{Session: id, Request: "rsync --server . x", Verdict: "allow", Tool: "rsync", Direction: "push"}),
		k.trail.SessionEnded(c, audit.End{Session: id, Lasted: time.Second, In: 1000, Why: "the program ended"}))
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeping) key() ed25519.PublicKey {
	k.t.Helper()
	key, err := audit.PublicKey(audit.PublicKeyFile(k.dir))
	if err != nil {
		k.t.Fatal(err)
	}
	return key
}

func (k *keeping) verify(known ...audit.Checkpoint) audit.Verdict {
	k.t.Helper()
	v, err := audit.Verify(k.dir, k.key(), known, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	return v
}

func (k *keeping) sound() audit.Verdict {
	k.t.Helper()
	v := k.verify()
	if v.Fault != nil {
		k.t.Fatalf("%v", v.Fault)
	}
	return v
}

// files are the names of the trail's files, in order.
func (k *keeping) files() []string {
	k.t.Helper()
	found, err := filepath.Glob(filepath.Join(k.dir, "*.jsonl*"))
	if err != nil {
		k.t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

// raw is the content of a file, as it was before it was compressed.
func (k *keeping) raw(name string) []byte {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil {
		k.t.Fatal(err)
	}
	if strings.HasSuffix(name, ".zst") {
		text = unpacked(k.t, text)
	}
	return text
}

func unpacked(t *testing.T, text []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if text, err = d.DecodeAll(text, nil); err != nil {
		t.Fatal(err)
	}
	return text
}

// asOneFrame compresses as a whole.
func asOneFrame(t *testing.T, text []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(text, nil)
}

func (k *keeping) put(name string, text []byte) {
	k.t.Helper()
	if strings.HasSuffix(name, ".zst") {
		text = asOneFrame(k.t, text)
	}
	if err := os.WriteFile(filepath.Join(k.dir, name), text, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func TestTrailGoesOnAcrossRestarts(t *testing.T) {
	k := keep(t)
	for n := range 3 {
		k.session(n)
		k.close()
		k.open()
	}
	k.close()
	v := k.sound()
	// Three records a session; and a checkpoint at each start and each end.
	if v.First != 1 || v.Records != 3*3+4*2 || v.Last != v.Records || v.Files != 1 || v.Signed != v.Last-1 {
		t.Errorf("%+v", v)
	}
}

func TestTrailIsWrittenByOne(t *testing.T) {
	k := keep(t)
	if second, err := audit.Open(k.o); !errors.Is(err, audit.ErrInUse) {
		t.Errorf("opened twice: %v", errors.Join(err, second.Close()))
	}
	k.session(1)
	k.close()
	k.sound()
}

// What is on the disk before the method returns is what a crash leaves.
func TestCrashLosesAtMostTheUnfinishedLine(t *testing.T) {
	k := keep(t)
	k.session(1)
	k.close()
	name := k.files()[0]
	whole := k.raw(name)
	for _, cut := range []int{1, 10, 100} {
		k.put(name, append(bytes.Clone(whole), whole[:cut]...))
		if v := k.sound(); v.Records == 0 {
			t.Errorf("an unfinished line is a fault")
		}
		k.open()
		k.close()
		text := k.raw(name)
		if !bytes.HasPrefix(text, whole) || !bytes.Contains(text[len(whole):], []byte(`"message":"trail repaired"`)) {
			t.Errorf("%d bytes of an unfinished line: %s", cut, text[len(whole):])
		}
		k.sound()
		whole = text
	}
}

func TestFilesAreClosedByDayAndBySize(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 4000 })
	for n := range 20 {
		k.session(n)
		if n == 10 {
			k.wait(24 * time.Hour)
		}
	}
	k.close()
	v := k.sound()
	files := k.files()
	if v.Files != len(files) || v.Files < 5 {
		t.Errorf("%d files: %q", v.Files, files)
	}
	if !strings.Contains(files[0], "2026-10-18") || !strings.Contains(files[len(files)-1], "2026-10-19") {
		t.Errorf("%q", files)
	}
	// All but the last are compressed; what the last trim left is too.
	for i, name := range files[:len(files)-1] {
		if !strings.HasSuffix(name, ".zst") {
			t.Errorf("file %d, %s, is not compressed", i, name)
		}
	}
}

// A crash while a file was compressed leaves what is cleaned up, and nothing
// twice.
func TestCrashWhileCompressing(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 4000 })
	for n := range 10 {
		k.session(n)
	}
	k.close()
	name := k.files()[0]
	raw := strings.TrimSuffix(name, ".zst")
	k.put(raw, k.raw(name))
	if err := os.WriteFile(filepath.Join(k.dir, raw+".zst.tmp"), []byte("unfinished"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := k.sound()
	k.open()
	k.close()
	if after := k.sound(); after.Records != before.Records+2 {
		t.Errorf("%d records, and %d before", after.Records, before.Records)
	}
	if files := k.files(); slices.Contains(files, raw) || slices.Contains(files, raw+".zst.tmp") {
		t.Errorf("%q", files)
	}
}

func TestWhatIsOldIsForgotten(t *testing.T) {
	for name, keepWhat := range map[string]audit.Keep{
		"by age":  {Age: 48 * time.Hour},
		"by size": {Size: 3000},
	} {
		t.Run(name, func(t *testing.T) {
			k := keep(t, func(o *audit.Options) { o.Keep = keepWhat })
			for n := range 6 {
				k.session(n)
				k.wait(24 * time.Hour)
			}
			k.close()
			v := k.sound()
			if v.First == 1 || v.Records == 0 || v.Last != v.First+v.Records-1 {
				t.Errorf("%+v", v)
			}
			k.open()
			k.close()
			k.sound()
		})
	}
}

// A clock that jumps keeps nobody from recording, and breaks no chain.
func TestClockThatJumps(t *testing.T) {
	k := keep(t)
	for n, jump := range []time.Duration{0, 1000 * 24 * time.Hour, -2000 * 24 * time.Hour, time.Hour, -time.Hour} {
		k.wait(jump)
		k.session(n)
	}
	k.close()
	if v := k.sound(); v.Records < 15 {
		t.Errorf("%+v", v)
	}
}

func TestManyRecordAtOnce(t *testing.T) {
	k := keep(t, func(o *audit.Options) { o.FileSize = 20_000 })
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			for i := range 10 {
				k.session(100*n + i)
			}
		})
	}
	all.Wait()
	k.close()
	v := k.sound()
	sessions, err := audit.NewestSessions(k.dir, audit.Query{}, 1000)
	if err != nil || len(sessions) != 160 {
		t.Errorf("%d sessions, %v", len(sessions), err)
	}
	for _, s := range sessions {
		if s.Ended == nil {
			t.Errorf("session %s has no end", s.Decided.Session)
		}
	}
	if v.Records < 480 {
		t.Errorf("%+v", v)
	}
}

// With a full disk nothing new is recorded, and so nothing new begins; what had
// begun ends with its record; and with room again all goes on.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	defer unix.Unmount(disk, unix.MNT_DETACH)
	k := keep(t, func(o *audit.Options) { o.Dir = filepath.Join(disk, "audit") })
	k.dir = k.o.Dir
	k.session(1)
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	decide := func() error {
		return k.trail.SessionDecided(from, audit.Decision{Session: "c1.1", Request: strings.Repeat("x", 4000)})
	}
	refused := false
	for range 1000 {
		if err := decide(); err != nil {
			if refused = errors.Is(err, unix.ENOSPC); !refused {
				t.Fatal(err)
			}
			break
		}
	}
	if !refused {
		t.Error("nothing was refused")
	}
	for range 100 {
		if err := k.trail.SessionEnded(from, audit.End{Session: "c1.1", Why: "the program ended"}); err != nil {
			t.Fatalf("a session that had begun ends without a record: %v", err)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := decide(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	k.close()
	k.sound()
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func TestTrailWithoutItsKeyIsNotGoneOnWith(t *testing.T) {
	k := keep(t)
	k.session(1)
	k.close()
	if err := os.Remove(filepath.Join(k.dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	if trail, err := audit.Open(k.o); err == nil || !strings.Contains(err.Error(), "bring the file back") {
		t.Errorf("opened: %v", errors.Join(err, trail.Close()))
	}
}
