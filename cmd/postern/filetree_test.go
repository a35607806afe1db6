package main

import (
	"strings"
	"testing"

	"postern/audit"
)

func TestFileTree(t *testing.T) {
	tree := newFileTree()
	for _, f := range []audit.File{
		{Deed: audit.Attributes, Kind: "folder", Size: -1, Name: "."},
		{Deed: audit.Created, Kind: "folder", Size: -1, Name: "home/ann"},
		{Deed: audit.Created, Kind: "file", Size: 2048, Name: "home/ann/a"},
		{Deed: audit.Changed, Kind: "file", Size: 1024, Name: "home/ann/a"},
		{Deed: audit.Created, Kind: "file", Size: 1024, Name: "home/ann/deep/\x1b[31m\n"},
		{Deed: audit.Deleted, Size: -1, Name: "home/old"},
		{Deed: audit.Created, Kind: "link", Size: -1, Name: "link"},
		{Deed: audit.Sent, Kind: "file", Size: 1, Name: "long", Cut: true},
	} {
		tree.add(f)
	}
	for depth, want := range map[int]string{
		0: `
/volume1/             attributes folder           2.0 KiB in 3 files
  home/                                           2.0 KiB in 2 files
    ann/              created folder              2.0 KiB in 2 files
      a               created file, changed file  1.0 KiB
      deep/                                       1.0 KiB in 1 file
        "\x1b[31m\n"  created file                1.0 KiB
    old               deleted
  link                created link
  long…               sent file                   1 B
`,
		1: `
/volume1/  attributes folder  2.0 KiB in 3 files
  home/                       2.0 KiB in 2 files
  link     created link
  long…    sent file          1 B
`,
	} {
		var out strings.Builder
		printTree(&out, "/volume1", tree, depth)
		if got := trimLines(out.String()); got != strings.TrimPrefix(want, "\n") {
			t.Errorf("to depth %d:\n%s\nwant\n%s", depth, got, want)
		}
	}
}

// trimLines takes the blanks from the ends of lines.
func trimLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, " \n")+"\n")
	}
	return strings.Join(lines, "")
}
