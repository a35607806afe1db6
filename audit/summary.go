package audit

import (
	"cmp"
	"slices"
	"time"
)

// Period is what a [Summary] is about: the time from Since to before Until. Days
// and hours are those of the time zone of Since.
type Period struct {
	Since, Until time.Time
	// History is how long before Since is read, to learn what is usual.
	History time.Duration
	// Client is the only one that is asked for; empty is all.
	Client string
}

// Summary is what happened in a period, by client and day, and what stands out of
// it.
type Summary struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// History is from when on what is usual was learnt.
	History time.Time `json:"history"`
	// Standouts come with the newest first.
	Standouts []Standout `json:"standouts"`
	// TooNew are the clients that were there on too few days for anybody to say
	// what is unusual for them.
	TooNew []string `json:"too_new"`
	// Days are ordered by client and day.
	Days []ClientDay `json:"days"`
	// Attempts are those that nobody was let in for; of no client in particular,
	// so that a summary of one client leaves them out.
	Attempts *Attempts `json:"attempts,omitempty"`
}

// ClientDay is what one client did on one day. A session counts for the day on
// which it ended.
type ClientDay struct {
	Client string `json:"client"`
	Day    string `json:"day"`
	// Sessions are those that were let in; Failed of them did not end well, or
	// were lost with their gateway. Refused came to nothing.
	Sessions int `json:"sessions"`
	Failed   int `json:"failed"`
	Refused  int `json:"refused"`
	// Backups are as [Backup] says.
	Backups int `json:"backups"`
	// In and Out are bytes from the client and to it.
	In  int64 `json:"in"`
	Out int64 `json:"out"`
	// Files counts what was done to files, and Objects to those of borg; nil where
	// nobody counted.
	Files   *FileCounts   `json:"files,omitempty"`
	Objects *ObjectCounts `json:"objects,omitempty"`
	// NewAddresses are those that the client never came from before, of IPv6 the
	// networks, and no more than a hundred.
	NewAddresses []string `json:"new_addresses,omitempty"`
}

// ObjectCounts counts objects of borg repositories, of which an archive has many.
type ObjectCounts struct {
	Put     int64 `json:"put"`
	Deleted int64 `json:"deleted"`
}

// Summarise reads the trail in a folder once. It holds a few numbers for each
// client and day, and for each source.
func Summarise(dir string, p Period) (Summary, error) {
	s := &summariser{period: p, clients: map[string]*habits{}, running: map[string]*running{}, attempts: newAttemptCounts()}
	out := Summary{Since: p.Since, Until: p.Until, History: p.Since.Add(-p.History), Standouts: []Standout{}, TooNew: []string{}, Days: []ClientDay{}}
	events := map[string]bool{
		refusedEvent: false, keyRefusedEvent: false, foldedEvent: true,
		acceptedEvent: false, decidedEvent: false, servedEvent: true, endedEvent: true,
	}
	err := glances(dir, Query{Since: out.History, Until: p.Until}, events, s.read)
	if err != nil {
		return out, err
	}
	for _, c := range s.clients {
		out.add(c)
	}
	slices.Sort(out.TooNew)
	slices.SortFunc(out.Days, func(a, b ClientDay) int { return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Day, b.Day)) })
	slices.SortFunc(out.Standouts, func(a, b Standout) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Kind, b.Kind))
	})
	if p.Client == "" {
		out.Attempts = s.attempts.result()
	}
	return out, nil
}

// add puts in what is known of one client.
func (out *Summary) add(c *habits) {
	out.Days = append(out.Days, c.window()...)
	if len(c.days) == 0 {
		return
	}
	amounts, tooNew := c.amounts()
	out.Standouts = append(append(out.Standouts, amounts...), c.standouts...)
	if tooNew {
		out.TooNew = append(out.TooNew, c.client)
	}
}

// summariser reads records.
type summariser struct {
	period   Period
	clients  map[string]*habits
	running  map[string]*running
	attempts *attemptCounts
}

// running is a session that has not ended.
type running struct {
	candidate
	habits *habits
}

// asked reports whether a time belongs to the period, and not to its history.
func (s *summariser) asked(at time.Time) bool { return !at.Before(s.period.Since) }

func (s *summariser) read(r Record) {
	switch r.Event {
	case foldedEvent:
		s.attempts.folded(r, s.asked)
	case refusedEvent, keyRefusedEvent:
		if s.asked(r.Time) {
			s.attempts.add(sourceOf(r.Address), attemptKind(r.Event, r.Code), 1, r.Time)
		}
	case acceptedEvent:
		if c := s.of(r); c != nil {
			c.from(r, s.asked(r.Time))
		}
	case decidedEvent:
		if c := s.of(r); c != nil {
			s.decided(c, r)
		}
	case servedEvent:
		if run := s.running[r.Session]; run != nil {
			run.served(r, s.asked(r.Time))
		}
	case endedEvent:
		if run := s.running[r.Session]; run != nil {
			run.ended(r)
			delete(s.running, r.Session)
		}
	}
}

// of returns the habits of the client of a record, or nil for one that is not
// asked for.
func (s *summariser) of(r Record) *habits {
	if r.Client == "" || s.period.Client != "" && s.period.Client != r.Client {
		return nil
	}
	c := s.clients[r.Client]
	if c == nil {
		c = newHabits(r.Client, s.period.Since)
		s.clients[r.Client] = c
	}
	return c
}

func (s *summariser) decided(c *habits, r Record) {
	c.at(r, s.asked(r.Time))
	switch r.Verdict {
	case "deny":
		c.day(r.Time).Refused++
	case "allow":
		s.running[r.Session] = &running{candidate{tool: r.Tool, stores: r.Stores}, c}
	default:
		c.day(r.Time).Sessions++
	}
}
