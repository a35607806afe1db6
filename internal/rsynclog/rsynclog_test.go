package rsynclog_test

import (
	"slices"
	"strings"
	"testing"

	"postern/internal/rsynclog"
)

const secret = "Xq3"

// read returns the items of a log that comes in pieces of some length.
func read(log string, piece int) []rsynclog.Item {
	var items []rsynclog.Item
	r := rsynclog.NewReader(secret, func(i rsynclog.Item) { items = append(items, i) })
	for p := range slices.Chunk([]byte(log), piece) {
		r.Write(p)
	}
	r.Close()
	return items
}

// line is one as rsync writes it, before 3.5.0 and since.
func line(escaped bool, fields ...string) string {
	between := "\x1f"
	if escaped {
		between = `\#037`
	}
	return "2026/11/21 00:19:10 [9212] " + secret + "+" + between + strings.Join(fields, between) + secret + "-\n"
}

// other are lines that are not ours, and one that somebody makes look like ours
// who does not know the secret.
const other = "2026/11/21 00:19:09 [9212] receiving file list\n" +
	"2026/11/21 00:19:09 [9212] Xq4+\x1frecv\x1f>f+++++++++\x1f1\x1fforgedXq4-\n"

func TestReader(t *testing.T) {
	long := strings.Repeat("long/", 500)
	for name, c := range map[string]struct {
		log  string
		want []rsynclog.Item
	}{
		"nothing": {other, nil},
		"raw names": {
			other + line(false, "recv", ">f+++++++++", "12", "a\nb\x1f\x1b[31m\xff\\#012") + other,
			[]rsynclog.Item{{Operation: "recv", Changes: ">f+++++++++", Size: 12, Name: "a\nb\x1f\x1b[31m\xff\\#012"}},
		},
		"escaped names": {
			line(true, "recv", ">f+++++++++", "12", `a\#012b\#037\#033[31m`+"\xff"+`\#134#012`),
			[]rsynclog.Item{{Operation: "recv", Changes: ">f+++++++++", Size: 12, Name: "a\nb\x1f\x1b[31m\xff\\#012"}},
		},
		"a name that holds another line": {
			line(false, "recv", ">f+++++++++", "1", "x\n2026/11/21 00:19:10 [1] Y+\x1fdel.\x1f*deleting  \x1f0\x1fallY-") + line(false, "del.", "*deleting  ", "0", "old/"),
			[]rsynclog.Item{
				{Operation: "recv", Changes: ">f+++++++++", Size: 1, Name: "x\n2026/11/21 00:19:10 [1] Y+\x1fdel.\x1f*deleting  \x1f0\x1fallY-"},
				{Operation: "del.", Changes: "*deleting  ", Name: "old/"},
			},
		},
		"a long name": {
			cut(line(false, "send", "<f+++++++++", "1", long)) + line(false, "send", "<f+++++++++", "1", "short"),
			[]rsynclog.Item{
				{Operation: "send", Changes: "<f+++++++++", Size: 1, Name: long[:2047-len(secret+"+\x1fsend\x1f<f+++++++++\x1f1\x1f")], Cut: true},
				{Operation: "send", Changes: "<f+++++++++", Size: 1, Name: "short"},
			},
		},
		"a long name at the end": {
			cut(line(true, "send", "<f+++++++++", "1", long)) + "2026/11/21 00:19:10 [9212] sent 40 bytes\n",
			[]rsynclog.Item{{Operation: "send", Changes: "<f+++++++++", Size: 1, Name: long[:2047-len(secret+`+\#037send\#037<f+++++++++\#0371\#037`)], Cut: true}},
		},
		"an end that comes too late": {
			line(false, "send", "<f+++++++++", "1", long),
			[]rsynclog.Item{{Operation: "send", Changes: "<f+++++++++", Size: 1, Name: long[:2047-len(secret+"+\x1fsend\x1f<f+++++++++\x1f1\x1f")], Cut: true}},
		},
		"a line that is torn":  {"2026/11/21 00:19:10 [9212] " + secret + "+\x1frecv\x1f>f++", nil},
		"a size that is none":  {line(false, "recv", ">f+++++++++", "much", "name"), nil},
		"marks without a line": {secret + "-" + secret + "+" + secret + "-" + secret + "+", nil},
		"a line that begins twice": {
			"2026/11/21 00:19:10 [9] " + secret + "+\x1frecv\x1f>f+++++++++\x1f1\x1fbroken2026/11/21 00:19:10 [9] " + line(false, "recv", "cd+++++++++", "1", "d/")[27:],
			[]rsynclog.Item{
				{Operation: "recv", Changes: ">f+++++++++", Size: 1, Name: "broken", Cut: true},
				{Operation: "recv", Changes: "cd+++++++++", Size: 1, Name: "d/"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 7, 64, 1 << 20} {
				if got := read(c.log, piece); !slices.Equal(got, c.want) {
					t.Errorf("in pieces of %d: got %+v, want %+v", piece, got, c.want)
				}
			}
		})
	}
}

// cut is what rsync leaves of a long line.
func cut(line string) string { return line[:27+2047] }

func TestItem(t *testing.T) {
	for _, c := range []struct {
		operation, changes, name string
		deed                     rsynclog.Deed
		kind                     string
	}{
		{"recv", ">f+++++++++", "a", rsynclog.Created, "file"},
		{"recv", ">f.st......", "a", rsynclog.Changed, "file"},
		{"recv", ">f?????????", "a", rsynclog.Changed, "file"},
		{"recv", "hf+++++++++", "a", rsynclog.Created, "file"},
		{"recv", "cd+++++++++", "a/", rsynclog.Created, "folder"},
		{"recv", "cL+++++++++", "a", rsynclog.Created, "link"},
		{"recv", "cL..t......", "a", rsynclog.Changed, "link"},
		{"recv", "cS+++++++++", "a", rsynclog.Created, "special"},
		{"recv", "cD+++++++++", "a", rsynclog.Created, "device"},
		{"recv", ".d..t......", "a/", rsynclog.Attributes, "folder"},
		{"recv", ".f...p.....", "a", rsynclog.Attributes, "file"},
		{"recv", ".f         ", "a", rsynclog.Unchanged, "file"},
		{"recv", ".f.........", "a", rsynclog.Unchanged, "file"},
		{"send", "<f+++++++++", "a", rsynclog.Sent, "file"},
		{"send", "cd+++++++++", "a", rsynclog.Sent, "folder"},
		{"send", ".d..t......", "a", rsynclog.Unchanged, "folder"},
		{"del.", "*deleting  ", "a", rsynclog.Deleted, ""},
		{"del.", "*deleting  ", "a/", rsynclog.Deleted, "folder"},
		{"else", "<f+++++++++", "a", rsynclog.Unchanged, "file"},
		{"recv", "", "a", rsynclog.Unchanged, ""},
	} {
		i := rsynclog.Item{Operation: c.operation, Changes: c.changes, Name: c.name}
		if i.Deed() != c.deed || i.Kind() != c.kind {
			t.Errorf("%s %s %s: %q of a %q, want %q of a %q", c.operation, c.changes, c.name, i.Deed(), i.Kind(), c.deed, c.kind)
		}
	}
}

// FuzzReader wants the same items however the log comes, and none with a name
// that is longer than rsync can log.
func FuzzReader(f *testing.F) {
	f.Add([]byte(other+line(false, "recv", ">f+++++++++", "12", "a\nb")), 3)
	f.Add([]byte(line(true, "send", "<f+++++++++", "1", `\#134#012\#012`)), 1)
	f.Add([]byte(secret+"+\x1f\x1f\x1f1\x1f"+secret+"+"+secret), 2)
	f.Fuzz(func(t *testing.T, log []byte, piece int) {
		whole, pieces := read(string(log), len(log)+1), read(string(log), 1+abs(piece)%64)
		if !slices.Equal(whole, pieces) {
			t.Errorf("%q: as a whole %+v, in pieces %+v", log, whole, pieces)
		}
	})
}

func abs(n int) int { return max(n, -max(n, -1<<62)) }
