package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// forms writes some lines as the files of a trail are: raw, compressed in frames,
// and compressed as a whole, as they once were.
func forms(t *testing.T, lines []byte) map[string]file {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, text []byte) file {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file{path: path, compressed: strings.HasSuffix(name, zstdEnding)}
	}
	var framed, seen bytes.Buffer
	if _, err := zip(&framed, bytes.NewReader(lines), func(some []byte) { seen.Write(some) }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(seen.Bytes(), lines) {
		t.Errorf("an index would be made of %d bytes of %d", seen.Len(), len(lines))
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]file{
		"raw":    write("raw"+rawEnding, lines),
		"framed": write("framed"+rawEnding+zstdEnding, framed.Bytes()),
		"whole":  write("whole"+rawEnding+zstdEnding, z.EncodeAll(lines, nil)),
	}
}

// Whatever the lengths of lines are beside that of a page, each line is on one page,
// whole, and the pages together are the file.
func TestPagesAreTheFile(t *testing.T) {
	line := func(length int) string { return strings.Repeat("x", length-1) + "\n" }
	for name, lines := range map[string]string{
		"nothing":                          "",
		"a line":                           line(100),
		"an empty line":                    "\n",
		"one byte less than a page":        line(frameSize - 1),
		"a page":                           line(frameSize),
		"one byte more than a page":        line(frameSize + 1),
		"a page, and a line":               line(frameSize) + line(1),
		"almost a page, and a line":        line(frameSize-1) + line(1) + line(7),
		"almost a page, and a longer line": line(frameSize-1) + line(2) + line(7),
		"two pages in two lines":           line(frameSize) + line(frameSize),
		"a line of two pages":              line(5) + line(2*frameSize) + line(5),
		"a line of several pages":          line(5) + line(3*frameSize+17) + line(5) + line(frameSize),
		"an unfinished line":               line(100) + "xxx",
		"an unfinished line of its own":    line(frameSize) + "xxx",
		"a long unfinished line":           line(100) + strings.Repeat("x", 2*frameSize),
		"many lines":                       manyLines(2000),
	} {
		for form, f := range forms(t, []byte(lines)) {
			t.Run(name+"/"+form, func(t *testing.T) { samePages(t, f, []byte(lines)) })
		}
	}
}

func manyLines(n int) string {
	var text strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		fmt.Fprintf(&text, "%d %s\n", i, strings.Repeat("y", random.IntN(3000)))
	}
	return text.String()
}

func samePages(t *testing.T, f file, lines []byte) {
	t.Helper()
	p, err := f.pages()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.size != int64(len(lines)) {
		t.Errorf("it is %d bytes long, and %d in truth", p.size, len(lines))
	}
	for place := int64(0); place < p.size; place += frameSize {
		if page := p.at(place); p.start(page) > place {
			t.Errorf("what begins at %d is looked for from %d on", place, p.start(page))
		}
	}
	var all []byte
	for page := range p.count() {
		some, start, err := p.read(page)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) > 0 && start != int64(len(all)) {
			t.Errorf("page %d begins at %d instead of %d", page, start, len(all))
		}
		if p.start(page) > start || p.at(p.start(page)) != page && len(some) > 0 {
			t.Errorf("page %d begins at %d, where page %d is", page, p.start(page), p.at(p.start(page)))
		}
		if len(some) > 0 && some[len(some)-1] != '\n' && int(start)+len(some) != len(lines) {
			t.Errorf("page %d ends within a line", page)
		}
		all = append(all, some...)
	}
	if !bytes.Equal(all, lines) {
		t.Errorf("the pages have %d bytes, the file %d", len(all), len(lines))
	}
}

// No other bytes at the end of a compressed file make a reader go astray: the table
// is one that leads through the whole file, or there is none.
func FuzzTable(f *testing.F) {
	f.Add(tableOf([]frame{{length: 5, unpack: 9}, {length: 7, unpack: 1}}), 12)
	f.Add(tableOf(nil), 0)
	f.Add([]byte("\x00\x00\x00\xff\x00\xb1\xea\x92\x8f"), 100)
	f.Fuzz(func(t *testing.T, end []byte, before int) {
		if before < 0 || before > 1<<20 {
			return
		}
		packed := append(make([]byte, before), end...)
		table, frames, err := readTable(bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			t.Fatal(err)
		}
		if table == nil {
			return
		}
		var at int64
		for _, f := range frames {
			if f.at != at || f.unpack > maxFrame {
				t.Errorf("%+v", f)
			}
			at += int64(f.length)
		}
		if at+int64(len(table)) != int64(len(packed)) {
			t.Errorf("the frames end at %d, and the table has %d bytes of %d", at, len(table), len(packed))
		}
	})
}
