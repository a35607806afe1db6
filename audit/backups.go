package audit

import (
	"encoding/json"
	"time"
)

// Backup is a session that stored something and ended well: an rsync push that was
// no dry run, or a borg session that wrote an archive and committed it, which a
// compaction or a check does not.
type Backup struct {
	// Time is when it ended.
	Time    time.Time `json:"time"`
	Session string    `json:"session"`
	Tool    string    `json:"tool"`
	// Bytes is what the client sent; for borg, what it sent to be stored.
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	// Files counts what was done to files; nil where nobody counted.
	Files *FileCounts `json:"files,omitempty"`
}

// Backups returns the backups since a time by the names of the clients, the
// oldest first.
func Backups(dir string, since time.Time) (map[string][]Backup, error) {
	found := map[string][]Backup{}
	running := map[string]*candidate{}
	events := map[string]bool{decidedEvent: false, servedEvent: true, endedEvent: true}
	err := glances(dir, Query{Since: since}, events, func(r Record) {
		switch r.Event {
		case decidedEvent:
			if r.Stores && r.Verdict == "allow" {
				running[r.Session] = &candidate{tool: r.Tool, stores: true}
			}
		case servedEvent:
			if c := running[r.Session]; c != nil {
				c.operations(operationsOf(r.Line))
			}
		case endedEvent:
			if c := running[r.Session]; c != nil && c.good(r) {
				found[r.Client] = append(found[r.Client], Backup{r.Time, r.Session, c.tool, c.bytes(r), r.Seconds, r.Files()})
			}
			delete(running, r.Session)
		}
	})
	return found, err
}

// candidate is a session that may be a backup.
type candidate struct {
	tool   string
	stores bool
	// archived says that a borg client wrote an archive, and put is how many
	// bytes it sent for that.
	archived bool
	put      int64
}

// borgOperations is what is read of the record of a borg session.
type borgOperations struct {
	Repositories []struct {
		Path    string
		Put     int64
		Methods map[string]int64
	}
}

// operationsOf reads what is needed of the record of a borg session.
func operationsOf(line []byte) borgOperations {
	var o borgOperations
	if json.Unmarshal(line, &o) != nil {
		return borgOperations{} // which counts nothing
	}
	return o
}

// operations looks for an archive: it takes an object of its own and the list of
// archives, and a commit. A compaction writes the list alone.
func (c *candidate) operations(o borgOperations) {
	for _, r := range o.Repositories {
		c.put += r.Put
		c.archived = c.archived || r.Methods["put"] >= 2 && r.Methods["commit"] >= 1
	}
}

// well reports whether the session ended without a fault.
func (c *candidate) well(end Record) bool {
	return end.Status != nil && *end.Status == 0 && end.Failure == ""
}

// good reports whether the session ended as a backup does.
func (c *candidate) good(end Record) bool {
	return c.stores && c.well(end) && (c.tool != "borg" || c.archived)
}

func (c *candidate) bytes(end Record) int64 {
	if c.tool == "borg" {
		return c.put
	}
	return end.In
}
