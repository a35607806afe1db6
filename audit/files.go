package audit

import (
	"bytes"

	"github.com/rs/zerolog"
)

// Deed is what an rsync did to a file.
type Deed string

// The deeds. An attribute is anything that is not content: mode, owner, time.
const (
	Created    Deed = "created"
	Changed    Deed = "changed"
	Deleted    Deed = "deleted"
	Sent       Deed = "sent"
	Attributes Deed = "attributes"
)

// Detail is which files of a session get records.
type Detail string

// The details: every file, those that changed on this host, or none but counts.
const (
	AllFiles    Detail = "all"
	ChangesOnly Detail = "changes"
	CountsOnly  Detail = "summary"
)

// Records reports whether a file to which that was done is recorded.
func (d Detail) Records(deed Deed) bool {
	switch d {
	case CountsOnly:
		return false
	case ChangesOnly:
		return deed == Created || deed == Changed || deed == Deleted
	}
	return true
}

// File is what was done to one file.
type File struct {
	Deed Deed
	// Kind is file, folder, link, device or special; "" is a deleted thing that
	// was no folder.
	Kind string
	// Size is in bytes, and negative where it is not known.
	Size int64
	// Name is relative to the root of its record, byte for byte.
	Name string
	// Cut says that the name is longer than rsync tells.
	Cut bool
}

// Files are some of the files of one session, in the order in which they were
// touched.
type Files struct {
	Session string
	// Root is the absolute path that the names start from.
	Root  string
	Files []File
}

// FilesTouched records files of a session. They are on the disk before the
// session's end is.
func (t *Trail) FilesTouched(c Connection, f Files) error {
	return t.record(zerolog.InfoLevel, filesEvent, loose, func(e *zerolog.Event) {
		c.mark(e)
		e.Str("session", f.Session)
		foreign(e, "root", f.Root)
		files := e.CreateArray()
		for _, file := range f.Files {
			files.Dict(file.describe(e.CreateDict()))
		}
		e.Array("files", files)
	})
}

func (f File) describe(d *zerolog.Event) *zerolog.Event {
	d.Str("did", string(f.Deed))
	if f.Kind != "" {
		d.Str("kind", f.Kind)
	}
	if f.Size >= 0 {
		d.Int64("size", f.Size)
	}
	if f.Cut {
		d.Bool("name_cut", true)
	}
	foreign(d, "name", f.Name)
	return d
}

// FileCounts counts the files of a session by what was done to them.
type FileCounts struct {
	Created int64 `json:"created"`
	Changed int64 `json:"changed"`
	Deleted int64 `json:"deleted"`
	Sent    int64 `json:"sent"`
	// Unrecorded is how many of them have no record though they should: the
	// trail had no room, or rsync did not tell.
	Unrecorded int64 `json:"unrecorded,omitempty"`
	// Unlogged says that rsync told of nothing at all, not even of its start: what
	// it touched is not known.
	Unlogged bool `json:"unlogged,omitempty"`
}

// Files returns what was counted in the session that a record ends, or nil where
// nobody counted.
func (r Record) Files() *FileCounts {
	if !bytes.Contains(r.Line, []byte(`,"created":`)) {
		return nil
	}
	return &FileCounts{r.Created, r.Changed, r.Deleted, r.Sent, r.Unrecorded, r.Unlogged}
}

// Count adds one file. Attributes alone are no change.
func (n *FileCounts) Count(d Deed) {
	switch d {
	case Created:
		n.Created++
	case Changed:
		n.Changed++
	case Deleted:
		n.Deleted++
	case Sent:
		n.Sent++
	}
}

// mark adds the counts to a record.
func (n *FileCounts) mark(e *zerolog.Event) {
	if n == nil {
		return
	}
	e.Int64("created", n.Created).Int64("changed", n.Changed).Int64("deleted", n.Deleted).Int64("sent", n.Sent)
	if n.Unrecorded > 0 {
		e.Int64("unrecorded", n.Unrecorded)
	}
	if n.Unlogged {
		e.Bool("unlogged", true)
	}
}
