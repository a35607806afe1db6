package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/audit"
	"postern/internal/office"
)

// busyDay is the trail of an office, in several files of several pages each. It is
// closed.
func busyDay(t *testing.T) *keeping {
	t.Helper()
	k := &keeping{t: t, dir: filepath.Join(t.TempDir(), "audit")}
	k.o = audit.Options{Dir: k.dir, Prints: io.Discard, Now: func() time.Time { return office.Begin().Add(24*time.Hour - time.Second) }}
	if err := office.Write(k.dir, 2800, func(o *audit.Options) { o.FileSize = 530_000 }); err != nil {
		t.Fatal(err)
	}
	if v := k.sound(); len(k.indexes()) < 3 || len(k.indexes()) != v.Files-1 {
		t.Fatalf("%d files have the indexes %q", v.Files, k.indexes())
	}
	return k
}

func (k *keeping) indexes() []string {
	k.t.Helper()
	found, err := filepath.Glob(filepath.Join(k.dir, "*.index"))
	if err != nil {
		k.t.Fatal(err)
	}
	return found
}

// answers are what readers find in a trail.
func (k *keeping) answers() string {
	k.t.Helper()
	var out strings.Builder
	for _, q := range []audit.Query{
		{Client: "client-007", Event: "session ended"}, {Client: "nobody"}, {Verdict: "deny"}, {Address: netip.MustParsePrefix("203.0.113.0/28"), Event: "key refused"},
		{Since: office.Begin().Add(2 * time.Hour), Until: office.Begin().Add(3 * time.Hour), Event: "borg operations"},
	} {
		fmt.Fprintf(&out, "%+v:", q)
		if err := audit.Scan(k.dir, q, func(r audit.Record) bool { fmt.Fprintf(&out, " %d", r.Number); return true }); err != nil {
			k.t.Error(err)
		}
		sessions, err := audit.NewestSessions(k.dir, q, 20)
		if err != nil {
			k.t.Error(err)
		}
		for _, s := range sessions {
			fmt.Fprintf(&out, " %s", s.Decided.Session)
			if s.Ended != nil {
				fmt.Fprintf(&out, " ended with %d", s.Ended.Number)
			}
		}
		if len(sessions) > 0 {
			records, err := audit.SessionRecords(k.dir, sessions[0].Decided.Session)
			fmt.Fprintf(&out, " %d records of %s, %v", len(records), sessions[0].Decided.Session, err)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func TestIndexes(t *testing.T) {
	whole := busyDay(t)
	for name, test := range map[string]func(*testing.T, *keeping){
		"spoilt": spoiltIndexes, "hiding": indexThatHides, "files of one frame": filesOfOneFrame, "made anew": indexesMadeAnew,
		"crash": crashWhileCompressing, "sessions": sessionsAreWhole, "kept": indexesAreNotKeptLonger,
	} {
		t.Run(name, func(t *testing.T) { test(t, whole) })
	}
}

// Whatever becomes of the indexes, readers find the same; what could mislead them is
// named.
func spoiltIndexes(t *testing.T, whole *keeping) {
	want := whole.answers()
	if strings.Count(want, "\n") != 5 || !strings.Contains(want, "ended with") {
		t.Fatal(want)
	}
	for name, c := range map[string]struct {
		spoil func(k *keeping, indexes []string)
		fault string
	}{
		"all are missing": {func(_ *keeping, indexes []string) {
			for _, path := range indexes {
				os.Remove(path)
			}
		}, ""},
		"one is cut short": {func(k *keeping, indexes []string) { os.Truncate(indexes[1], 100) }, "is not the index"},
		"one is empty":     {func(k *keeping, indexes []string) { os.Truncate(indexes[1], 0) }, "is not the index"},
		"one is of another file": {func(k *keeping, indexes []string) {
			k.copy(indexes[0], indexes[1])
		}, "is not the index"},
		"one is no index": {func(k *keeping, indexes []string) {
			k.copy(filepath.Join(k.dir, "head"), indexes[1])
		}, "is not the index"},
	} {
		t.Run(name, func(t *testing.T) {
			k := whole.copied(t)
			c.spoil(k, k.indexes())
			if got := k.answers(); got != want {
				t.Errorf("found\n%sinstead of\n%s", got, want)
			}
			v := k.verify()
			if c.fault == "" && v.Fault != nil || c.fault != "" && (v.Fault == nil || !strings.Contains(v.Fault.Error(), c.fault) || v.Fault.File != filepath.Base(k.indexes()[1])) {
				t.Errorf("%v", v.Fault)
			}
		})
	}
}

func (k *keeping) copy(from, to string) {
	k.t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

// reindex changes the text of an index.
func (k *keeping) reindex(path string, change func(string) string) {
	k.t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		k.t.Fatal(err)
	}
	text := change(string(unpacked(k.t, packed)))
	if err := os.WriteFile(path, asOneFrame(k.t, []byte(text)), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// Who can write the folder can have an index hide records from readers; verify tells.
func indexThatHides(t *testing.T, whole *keeping) {
	k := whole.copied(t)
	path := k.indexes()[1]
	hidden := 0
	k.reindex(path, func(text string) string {
		lines := strings.SplitAfter(text, "\n")
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return strings.HasPrefix(line, "client ") && strings.HasSuffix(line, " client-007\n")
		})
		hidden = strings.Count(text, "\n") - len(lines) + 1
		return strings.Join(lines, "")
	})
	if v := k.verify(); hidden != 1 || v.Fault == nil || v.Fault.File != filepath.Base(path) || !strings.Contains(v.Fault.What, "can hide records") || v.Records != v.Last {
		t.Errorf("%d hidden, %+v", hidden, v)
	}
	// What is wrong with a record counts more, wherever it is.
	k.edit(k.files()[2], func(lines [][]byte) [][]byte {
		lines[3] = bytes.Replace(lines[3], []byte("level"), []byte("Level"), 1)
		return lines
	})
	if v := k.verify(); v.Fault == nil || v.Fault.Number == 0 {
		t.Errorf("%v", v.Fault)
	}
}

// Files that were compressed as a whole, by an older postern, have no index, and none
// is heeded.
func filesOfOneFrame(t *testing.T, whole *keeping) {
	for _, indexed := range []bool{false, true} {
		k := whole.copied(t)
		want := k.answers()
		for _, name := range k.files() {
			k.put(name, k.raw(name))
		}
		for _, path := range k.indexes() {
			if !indexed {
				os.Remove(path)
			}
		}
		if got := k.answers(); got != want {
			t.Errorf("found\n%sinstead of\n%s", got, want)
		}
		k.sound()
		k.open()
		k.close()
		k.sound()
	}
}

// A gateway makes the indexes anew that are missing or of no use, the same as they
// were.
func indexesMadeAnew(t *testing.T, whole *keeping) {
	k := whole.copied(t)
	want := map[string][]byte{}
	for i, path := range k.indexes() {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want[path] = text
		if i%2 == 0 {
			os.Remove(path)
		} else {
			os.Truncate(path, 10)
		}
	}
	k.open()
	k.close()
	k.sound()
	for path, text := range want {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s is another one, %v", path, err)
		}
	}
}

// A crash between any two steps of compressing leaves each record once for readers,
// and nothing that the next start does not clean up.
func crashWhileCompressing(t *testing.T, whole *keeping) {
	records, want := whole.sound().Records, whole.answers()
	healthy := whole.copied(t)
	healthy.open()
	healthy.close()
	later := healthy.sound().Records
	packed := whole.files()[1]
	raw, index := strings.TrimSuffix(packed, ".zst"), strings.TrimSuffix(packed, ".jsonl.zst")+".index"
	for name, left := range map[string][]string{
		"before anything":                  {raw},
		"while it is compressed":           {raw, packed + ".tmp"},
		"when it is compressed":            {raw, packed},
		"while the index is written":       {raw, packed, index + ".tmp"},
		"before the raw file is removed":   {raw, packed, index},
		"while an index is made by itself": {packed, index + ".tmp"},
		"after retention":                  {packed, index, "000000000000.2020-01-01.index"},
	} {
		t.Run(name, func(t *testing.T) {
			k := whole.copied(t)
			lines := k.raw(packed)
			for _, file := range []string{packed, index} {
				if !slices.Contains(left, file) {
					remove(t, k, file)
				}
			}
			for _, file := range left {
				switch {
				case file == raw:
					k.put(raw, lines)
				case file != packed && file != index:
					k.put(file, []byte("{unfinished"))
				}
			}
			if v := k.sound(); v.Records != records {
				t.Errorf("%d records of %d", v.Records, records)
			}
			if got := k.answers(); got != want {
				t.Errorf("found\n%sinstead of\n%s", got, want)
			}
			k.open()
			k.close()
			if v := k.sound(); v.Records != later {
				t.Errorf("%d records of %d after the next start", v.Records, later)
			}
			if indexes := k.indexes(); len(indexes) != len(k.files())-1 || slices.Contains(k.files(), raw) {
				t.Errorf("%q and %q", k.files(), indexes)
			}
			if odd, err := filepath.Glob(filepath.Join(k.dir, "*.tmp")); err != nil || len(odd) > 0 {
				t.Errorf("%q is left, %v", odd, err)
			}
		})
	}
}

// Indexes count for how much is kept, and go with their files.
func indexesAreNotKeptLonger(t *testing.T, whole *keeping) {
	k := whole.copied(t)
	var size int64
	for _, path := range append(k.indexes()[1:], k.paths()[1:]...) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	gone := k.indexes()[:2]
	k.o.Keep.Size = size // the new checkpoint of the last file is too much
	k.open()
	k.close()
	k.sound()
	for _, path := range gone {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there, %v", path, err)
		}
	}
	if len(k.files()) < 2 || len(k.indexes()) != len(k.files())-1 {
		t.Errorf("%q and %q", k.files(), k.indexes())
	}
}

// paths are those of the trail's files, in order.
func (k *keeping) paths() []string {
	k.t.Helper()
	var all []string
	for _, name := range k.files() {
		all = append(all, filepath.Join(k.dir, name))
	}
	return all
}
