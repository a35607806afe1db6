package main

import (
	"io"
	"os"
	"slices"
	"unicode/utf8"

	"golang.org/x/term"
)

// columnGap is what stands between two columns of a table.
const columnGap = 2

// widthOf is how many characters fit into a line of a terminal, and 0 where w is
// none: what is piped is nobody's to cut.
func widthOf(w io.Writer) int {
	width, _ := sizeOf(w)
	return width
}

// sizeOf is that, and how many lines a terminal has.
func sizeOf(w io.Writer) (width, height int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// fit leaves out columns of a table, in the given order, until its lines are no
// longer than width. The first row holds the columns' names.
func fit(rows [][]string, width int, spare ...string) [][]string {
	for _, name := range spare {
		if width == 0 || lineLength(rows) <= width {
			break
		}
		at := slices.Index(rows[0], name)
		if at < 0 {
			continue
		}
		for i, row := range rows {
			rows[i] = slices.Delete(slices.Clone(row), at, at+1)
		}
	}
	return rows
}

// lineLength is that of the longest line of a table.
func lineLength(rows [][]string) int {
	total := columnGap * (len(rows[0]) - 1)
	for column := range rows[0] {
		widest := 0
		for _, row := range rows {
			widest = max(widest, utf8.RuneCountInString(plain(row[column])))
		}
		total += widest
	}
	return total
}
