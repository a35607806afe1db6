package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// An index lies beside a file that is compressed in frames, and tells which of
// them hold a client, a key and so on, so that a reader can pass over the others.
// It is made from the file and can be made anew. It is a text:
//
//	postern audit index 1
//	table SHA-256 of the table of the file's frames
//	frame EARLIEST LATEST, for each: the times of its records
//	KIND FRAMES VALUE, for each: a bit for each frame, in hexadecimal, the first one first
//
// Values stand there as in the records, in the JSON, in the order of their bytes.

// indexHead is the beginning of the index for a file with that table, up to the end
// of a line.
func indexHead(table []byte) string {
	return fmt.Sprintf("postern audit index 1\ntable %x", sha256.Sum256(table))
}

// indexer makes an index, frame by frame.
type indexer struct {
	frames strings.Builder
	count  int
	holds  map[string]map[string]bits
}

// add takes the terms of the next frame.
func (x *indexer) add(t terms) {
	fmt.Fprintf(&x.frames, "frame %s %s\n", t.earliest, t.latest)
	if x.holds == nil {
		x.holds = map[string]map[string]bits{}
	}
	for kind, values := range t.values {
		held := x.holds[kind]
		if held == nil {
			held = map[string]bits{}
			x.holds[kind] = held
		}
		for value := range values {
			held[value] = held[value].with(x.count)
		}
	}
	x.count++
}

// text is the index for a file with that table.
func (x *indexer) text(table []byte) []byte {
	out := bytes.NewBufferString(indexHead(table) + "\n" + x.frames.String())
	for _, kind := range slices.Sorted(maps.Keys(x.holds)) {
		for _, value := range slices.Sorted(maps.Keys(x.holds[kind])) {
			fmt.Fprintf(out, "%s %x %s\n", kind, []byte(x.holds[kind][value]), value)
		}
	}
	return out.Bytes()
}

// bits are a set of frames.
type bits []byte

func (b bits) with(frame int) bits {
	for len(b) <= frame/8 {
		b = append(b, 0)
	}
	b[frame/8] |= 1 << (frame % 8)
	return b
}

func (b bits) has(frame int) bool { return frame/8 < len(b) && b[frame/8]>>(frame%8)&1 == 1 }

func (b bits) or(other bits) bits {
	for i := range other {
		if i == len(b) {
			return append(b, other[i:]...)
		}
		b[i] |= other[i]
	}
	return b
}

// index is what stands behind the head of one that was read.
type index []byte

// parseIndex reads an index, and reports whether it is one for the frames of that
// table.
func parseIndex(text, table []byte) (index, bool) {
	rest, ok := bytes.CutPrefix(text, []byte(indexHead(table)))
	return rest, ok
}

// lines are the lines of one kind, which stand together, without that word.
func (x index) lines(kind string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		first := bytes.Index(x, []byte("\n"+kind+" "))
		for line := range bytes.Lines(x[first+1:]) {
			line, ours := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte(kind+" "))
			if !ours || !yield(line) {
				return
			}
		}
	}
}

// holding are the frames that hold a value of a kind for which is holds.
func (x index) holding(kind string, is func(value []byte) bool) bits {
	var all bits
	for line := range x.lines(kind) {
		digits, value, _ := bytes.Cut(line, []byte(" "))
		if !is(value) {
			continue
		}
		if frames, err := hex.DecodeString(string(digits)); err == nil {
			all = all.or(frames)
		}
	}
	return all
}

// events are the frames that hold records of that name.
func (x index) events(name string) bits {
	return x.holding(kindEvent, func(value []byte) bool { return string(value) == name })
}

// during are the frames in which there can be a record not before one time and
// before the other. Times that are zero do not bound it.
func (x index) during(since, until time.Time) bits {
	var all bits
	frame := 0
	for line := range x.lines("frame") {
		earliest, latest, _ := strings.Cut(string(line), " ")
		if (since.IsZero() || latest >= since.UTC().Format(timeFormat)) && (until.IsZero() || earliest <= until.UTC().Format(timeFormat)) {
			all = all.with(frame)
		}
		frame++
	}
	return all
}
