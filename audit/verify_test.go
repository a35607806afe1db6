package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/audit"
)

// spoilable is a trail of several files, some compressed.
func spoilable(t *testing.T) *keeping {
	t.Helper()
	k := keep(t, func(o *audit.Options) { o.FileSize = 6000 })
	for n := range 20 {
		k.session(n)
	}
	k.close()
	if k.sound(); len(k.files()) < 4 {
		t.Fatalf("%q", k.files())
	}
	return k
}

// copied is another trail of the same files.
func (k *keeping) copied(t *testing.T) *keeping {
	t.Helper()
	other := &keeping{t: t, dir: t.TempDir(), o: k.o}
	other.o.Dir = other.dir
	// A file that is compressed meanwhile is not there any more.
	if err := os.CopyFS(other.dir, os.DirFS(k.dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return other
}

// edit changes the lines of a file.
func (k *keeping) edit(name string, change func(lines [][]byte) [][]byte) {
	k.t.Helper()
	lines := bytes.SplitAfter(k.raw(name), []byte("\n"))
	k.put(name, bytes.Join(change(lines[:len(lines)-1]), nil))
}

var numbers = regexp.MustCompile(`"number":([0-9]+),"before":"([^"]*)"`)

func numberOf(t *testing.T, line []byte) uint64 {
	t.Helper()
	found := numbers.FindSubmatch(line)
	n, err := strconv.ParseUint(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rechain makes the hashes of all records fit again, as someone would who changed
// one and has no key.
func rechain(t *testing.T, k *keeping) {
	t.Helper()
	before := base64.RawStdEncoding.EncodeToString(make([]byte, sha256.Size))
	for _, name := range k.files() {
		k.edit(name, func(lines [][]byte) [][]byte {
			for i, line := range lines {
				was := numbers.FindSubmatch(line)[2]
				lines[i] = bytes.ReplaceAll(line, was, []byte(before))
				sum := sha256.Sum256(bytes.TrimSuffix(lines[i], []byte("\n")))
				before = base64.RawStdEncoding.EncodeToString(sum[:])
			}
			return lines
		})
	}
}

// Whatever is done to any file of a trail, the first record that is wrong is
// named.
func TestVerifyNamesTheFirstWrongRecord(t *testing.T) {
	whole := spoilable(t)
	for name, spoil := range map[string]func(lines [][]byte) (changed [][]byte, wrong int){
		"a changed field": func(lines [][]byte) ([][]byte, int) {
			lines[3] = bytes.Replace(lines[3], []byte("laptop"), []byte("nobody"), 1)
			return lines, 3
		},
		"a changed byte": func(lines [][]byte) ([][]byte, int) {
			lines[2][20] ^= 1
			return lines, 2
		},
		"a removed record": func(lines [][]byte) ([][]byte, int) {
			return append(lines[:3:3], lines[4:]...), 3
		},
		"several removed records": func(lines [][]byte) ([][]byte, int) {
			return append(lines[:2:2], lines[5:]...), 2
		},
		"a record twice": func(lines [][]byte) ([][]byte, int) {
			return append(lines[:4:4], append([][]byte{lines[3]}, lines[4:]...)...), 3
		},
		"two records the other way round": func(lines [][]byte) ([][]byte, int) {
			lines[2], lines[3] = lines[3], lines[2]
			return lines, 2
		},
		"something that is no record": func(lines [][]byte) ([][]byte, int) {
			lines[4] = []byte("{}\n")
			return lines, 4
		},
		"an empty line": func(lines [][]byte) ([][]byte, int) {
			return append(lines[:4:4], append([][]byte{[]byte("\n")}, lines[4:]...)...), 4
		},
		"a line that does not end": func(lines [][]byte) ([][]byte, int) {
			lines[4] = bytes.TrimSuffix(lines[4], []byte("\n"))
			return lines, 4
		},
	} {
		for _, which := range []int{0, 1, -1} {
			t.Run(name+"/file "+strconv.Itoa(which), func(t *testing.T) {
				k := whole.copied(t)
				files := k.files()
				file := files[(which+len(files))%len(files)]
				var want uint64
				k.edit(file, func(lines [][]byte) [][]byte {
					first := numberOf(t, lines[0])
					changed, wrong := spoil(lines)
					want = first + uint64(wrong)
					return changed
				})
				v := k.verify()
				if v.Fault == nil || v.Fault.Number != want {
					t.Errorf("want record %d to be wrong, got %v", want, v.Fault)
				}
			})
		}
	}
}

// Someone who can write every file but has not the key makes the whole chain anew.
func TestVerifyFindsAChainMadeAnew(t *testing.T) {
	k := spoilable(t)
	k.edit(k.files()[1], func(lines [][]byte) [][]byte {
		lines[3] = bytes.Replace(lines[3], []byte("laptop"), []byte("nobody"), 1)
		return lines
	})
	rechain(t, k)
	if v := k.verify(); v.Fault == nil || !strings.Contains(v.Fault.What, "the chain made anew") {
		t.Errorf("%+v", v)
	}
}

func TestVerifyFindsWhatWasCutOff(t *testing.T) {
	whole := spoilable(t)
	for name, cut := range map[string]struct {
		spoil func(t *testing.T, k *keeping)
		want  string
	}{
		"the last file": {func(t *testing.T, k *keeping) {
			files := k.files()
			remove(t, k, files[len(files)-1])
		}, "the end was cut off"},
		"the last records": {func(t *testing.T, k *keeping) {
			files := k.files()
			k.edit(files[len(files)-1], func(lines [][]byte) [][]byte { return lines[:1] })
		}, "the end was cut off"},
		"the first file": {func(t *testing.T, k *keeping) { remove(t, k, k.files()[0]) }, "the beginning was cut off"},
		"a file between": {func(t *testing.T, k *keeping) { remove(t, k, k.files()[1]) }, "is missing"},
		"the first lines": {func(_ *testing.T, k *keeping) {
			k.edit(k.files()[0], func(lines [][]byte) [][]byte { return lines[1:] })
		}, "stands where record 1 should"},
	} {
		t.Run(name, func(t *testing.T) {
			k := whole.copied(t)
			cut.spoil(t, k)
			if v := k.verify(); v.Fault == nil || !strings.Contains(v.Fault.Error(), cut.want) {
				t.Errorf("%v, want %q", v.Fault, cut.want)
			}
		})
	}
}

func remove(t *testing.T, k *keeping, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(k.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// A checkpoint that somebody kept elsewhere finds a trail that was cut off
// together with its head, or rolled back to an older copy.
func TestVerifyWithACheckpointKeptElsewhere(t *testing.T) {
	k := keep(t)
	k.session(1)
	k.close()
	old := k.raw(k.files()[0])
	oldHead, err := os.ReadFile(filepath.Join(k.dir, "head"))
	if err != nil {
		t.Fatal(err)
	}
	k.open()
	k.session(2)
	k.close()
	kept, err := audit.Head(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	if v := k.verify(kept); v.Fault != nil || v.Signed < kept.Number {
		t.Errorf("%+v", v)
	}
	k.put(k.files()[0], old)
	if err := os.WriteFile(filepath.Join(k.dir, "head"), oldHead, 0o600); err != nil {
		t.Fatal(err)
	}
	k.sound()
	if v := k.verify(kept); v.Fault == nil {
		t.Errorf("a trail that was rolled back is sound: %+v", v)
	}
}

// A trail of another key, with a public key of its own beside it, is not this one.
func TestVerifyByAnotherKey(t *testing.T) {
	k := spoilable(t)
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, k, "head")
	v, err := audit.Verify(k.dir, other, nil, nil)
	if err != nil || v.Fault == nil {
		t.Errorf("%+v, %v", v, err)
	}
}

// A copy is verified with the files and the public key alone, and while the
// gateway goes on.
func TestVerifyACopyOfARunningTrail(t *testing.T) {
	k := keep(t)
	for n := range 5 {
		k.session(n)
	}
	elsewhere := t.TempDir()
	for _, name := range k.files() {
		if err := os.WriteFile(filepath.Join(elsewhere, name), append(k.raw(name), `{"level":"info","ti`...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v, err := audit.Verify(elsewhere, k.key(), nil, nil)
	if err != nil || v.Fault != nil || v.Records < 15 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestCheckpointsComeInTime(t *testing.T) {
	k := keep(t)
	k.session(1)
	k.wait(2 * time.Minute)
	k.session(2)
	head, err := audit.Head(k.dir)
	if v := k.verify(); err != nil || head.Number < 5 || v.Signed < 5 {
		t.Errorf("%+v, %+v, %v", head, v, err)
	}
}
