package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"postern/audit"
)

// fileTree is a folder of what a session touched, or a file in it.
type fileTree struct {
	// deeds are what was done to it, in order, each once.
	deeds []string
	size  int64
	cut   bool
	below map[string]*fileTree
}

func newFileTree() *fileTree { return &fileTree{size: -1} }

// treeOf puts the files of a session's records together below their root, and returns
// the other records.
func treeOf(records []audit.Record) (others []audit.Record, root string, tree *fileTree) {
	tree = newFileTree()
	for _, r := range records {
		touched := r.Touched()
		if touched.Root == "" {
			others = append(others, r)
			continue
		}
		root = cmp.Or(root, touched.Root)
		for _, f := range touched.Files {
			tree.add(f)
		}
	}
	return others, root, tree
}

// add adds one file. What was sent or written last is its size.
func (t *fileTree) add(f audit.File) {
	for _, name := range strings.Split(path.Clean(f.Name), "/") {
		if name == "." {
			break
		}
		if t.below[name] == nil {
			if t.below == nil {
				t.below = map[string]*fileTree{}
			}
			t.below[name] = newFileTree()
		}
		t = t.below[name]
	}
	deed := strings.TrimSpace(string(f.Deed) + " " + f.Kind)
	if !slices.Contains(t.deeds, deed) {
		t.deeds = append(t.deeds, deed)
	}
	if f.Size >= 0 {
		t.size = f.Size
	}
	t.cut = t.cut || f.Cut
}

// sum is how many files with a size there are, and how large they are together.
func (t *fileTree) sum() (files, bytes int64) {
	if t.size >= 0 && len(t.deeds) > 0 {
		files, bytes = 1, t.size
	}
	for _, below := range t.below {
		n, size := below.sum()
		files, bytes = files+n, bytes+size
	}
	return files, bytes
}

// printTree prints what a session touched below its root, to a depth; 0 is all of
// it.
func printTree(w io.Writer, root string, t *fileTree, depth int) {
	rows := [][]string{{folderName(root), strings.Join(t.deeds, ", "), sumOf(t)}}
	table(w, t.rows(rows, "  ", depth))
}

func (t *fileTree) rows(rows [][]string, indent string, depth int) [][]string {
	for _, name := range slices.Sorted(maps.Keys(t.below)) {
		below := t.below[name]
		shown := plain(name)
		if below.cut {
			shown += "…"
		}
		if len(below.below) > 0 {
			shown = folderName(shown)
		}
		rows = append(rows, []string{indent + shown, strings.Join(below.deeds, ", "), sumOf(below)})
		if depth != 1 {
			rows = below.rows(rows, indent+"  ", depth-1)
		}
	}
	return rows
}

func folderName(name string) string { return strings.TrimSuffix(name, "/") + "/" }

// sumOf is the size of a file, or of the files in a folder.
func sumOf(t *fileTree) string {
	files, bytes := t.sum()
	switch {
	case files == 0:
		return ""
	case len(t.below) == 0:
		return bytesOf(bytes)
	}
	return fmt.Sprintf("%s in %s", bytesOf(bytes), plural(int(files), "file"))
}
