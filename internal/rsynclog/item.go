package rsynclog

import "strings"

// Item is what rsync did to one file.
type Item struct {
	// Operation is what rsync calls it: send, recv or del.
	Operation string
	// Changes is what --itemize-changes would show, such as ">f+++++++++"
	// (rsync's manual has the letters).
	Changes string
	// Size is in bytes, of whatever it is that rsync touched.
	Size int64
	// Name is as the file system has it; that of a folder may end with a slash.
	// Cut says that only its beginning is known.
	Name string
	Cut  bool
}

// Deed is what became of a file.
type Deed string

// The deeds. Unchanged is a file that rsync looked at and left alone.
const (
	Unchanged  Deed = ""
	Created    Deed = "created"
	Changed    Deed = "changed"
	Deleted    Deed = "deleted"
	Sent       Deed = "sent"
	Attributes Deed = "attributes"
)

// The first letter of the changes, where it is not that of a transfer, and what
// stands for all of them where a file is new or nothing is known of it.
const (
	noUpdate = '.'
	allNew   = "+++++++++"
)

// Deed is what was done. A client older than protocol 29 (rsync 2.6.4) does not
// tell whether a file is new: it counts as changed.
func (i Item) Deed() Deed {
	about := ""
	if len(i.Changes) > 2 {
		about = i.Changes[2:]
	}
	updated := i.Changes != "" && i.Changes[0] != noUpdate
	switch {
	case i.Operation == "del.":
		return Deleted
	case i.Operation == "send" && updated:
		return Sent
	case i.Operation != "recv":
		return Unchanged
	case strings.HasPrefix(about, allNew):
		return Created
	case updated:
		return Changed
	case strings.Trim(about, ". ") != "":
		return Attributes
	}
	return Unchanged
}

// Kind is what was touched: file, folder, link, device or special, or "" where
// that is not known.
func (i Item) Kind() string {
	if i.Operation == "del." {
		if strings.HasSuffix(i.Name, "/") {
			return "folder"
		}
		return ""
	}
	if len(i.Changes) < 2 {
		return ""
	}
	switch i.Changes[1] {
	case 'f':
		return "file"
	case 'd':
		return "folder"
	case 'L':
		return "link"
	case 'D':
		return "device"
	case 'S':
		return "special"
	}
	return ""
}
