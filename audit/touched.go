package audit

import (
	"container/list"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
)

// writtenFiles are the fields of a record of files, or of borg's operations, that
// hold paths.
type writtenFiles struct {
	Root        string `json:"root"`
	RootEscaped bool   `json:"root_escaped"`
	Files       []struct {
		Did         Deed   `json:"did"`
		Kind        string `json:"kind"`
		Size        *int64 `json:"size"`
		Name        string `json:"name"`
		NameEscaped bool   `json:"name_escaped"`
		NameCut     bool   `json:"name_cut"`
	} `json:"files"`
	Repositories []struct {
		Path        string `json:"path"`
		PathEscaped bool   `json:"path_escaped"`
	} `json:"repositories"`
}

// Touched returns the files in a record of files, and none for any other.
func (r Record) Touched() Files {
	var w writtenFiles
	if r.Event != filesEvent || json.Unmarshal(r.Line, &w) != nil {
		return Files{}
	}
	f := Files{Session: r.Session, Root: original(w.Root, w.RootEscaped)}
	for _, file := range w.Files {
		size := int64(-1)
		if file.Size != nil {
			size = *file.Size
		}
		f.Files = append(f.Files, File{Deed: file.Did, Kind: file.Kind, Size: size, Name: original(file.Name, file.NameEscaped), Cut: file.NameCut})
	}
	return f
}

// original is a text as it was before it was written.
func original(text string, escaped bool) string {
	if !escaped {
		return text
	}
	whole, err := Unescape(text)
	if err != nil {
		return text
	}
	return whole
}

// touches reports whether a record is about a path, or about something below it.
func (r Record) touches(place string) bool {
	below := func(at string) bool { return at == place || strings.HasPrefix(at, strings.TrimSuffix(place, "/")+"/") }
	switch r.Event {
	case filesEvent:
		touched := r.Touched()
		return slices.ContainsFunc(touched.Files, func(f File) bool { return below(path.Join(touched.Root, f.Name)) })
	case servedEvent:
		var w writtenFiles
		if json.Unmarshal(r.Line, &w) != nil {
			return false
		}
		for _, repository := range w.Repositories {
			if below(path.Clean(original(repository.Path, repository.PathEscaped))) {
				return true
			}
		}
	}
	return false
}

// simple are names that stand in a record as they are.
var simple = regexp.MustCompile(`^[A-Za-z0-9._ -]+$`)

// pathNeedle is a text without which no record is about a path, or "".
func pathNeedle(place string) string {
	if place == "" {
		return ""
	}
	if name := path.Base(place); simple.MatchString(name) {
		return name
	}
	return ""
}

// sessionsTouching returns the last n sessions that a record of q.Path belongs to,
// the newest first.
func sessionsTouching(dir string, q Query, n int) ([]Session, error) {
	if q.Verdict != "" && q.Verdict != "allow" {
		return nil, nil // nothing was touched then
	}
	q.Event, q.Verdict = "", ""
	newest := recent{most: n}
	err := Scan(dir, q, func(r Record) bool {
		newest.add(r.Session)
		return true
	})
	if err != nil {
		return nil, err
	}
	var sessions []Session
	for _, id := range newest.all() {
		s, err := loadSession(dir, id)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// recent remembers those that were added last, each once.
type recent struct {
	most int
	// order has the newest in front, and places where each one is there.
	order  list.List
	places map[string]*list.Element
}

func (r *recent) add(id string) {
	if at := r.places[id]; at != nil {
		r.order.MoveToFront(at)
		return
	}
	if r.places == nil {
		r.places = map[string]*list.Element{}
	}
	r.places[id] = r.order.PushFront(id)
	if r.order.Len() > r.most {
		delete(r.places, r.order.Remove(r.order.Back()).(string))
	}
}

// all returns them, the newest first.
func (r *recent) all() []string {
	var ids []string
	for at := r.order.Front(); at != nil; at = at.Next() {
		ids = append(ids, at.Value.(string))
	}
	return ids
}

// loadSession returns what became of one request.
func loadSession(dir, id string) (Session, error) {
	records, err := SessionRecords(dir, id)
	var s Session
	for _, r := range records {
		switch r.Event {
		case decidedEvent:
			s.Decided = r
		case endedEvent:
			s.Ended = &r
		}
	}
	return s, err
}
