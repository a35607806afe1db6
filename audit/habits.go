package audit

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Standout is something that a client does not usually do.
type Standout struct {
	Time   time.Time `json:"time"`
	Client string    `json:"client"`
	// Session is the one that did it, or the most of it; Connection is told for
	// what needs no session.
	Session    string `json:"session,omitempty"`
	Connection string `json:"connection,omitempty"`
	// Kind is one of the kinds below.
	Kind string `json:"kind"`
	// Value is what was seen, and Usual what is: for an amount the number of a
	// day and the median of the days before, for an address or an hour the most
	// frequent one, and for borg the repository.
	Value string `json:"value"`
	Usual string `json:"usual,omitempty"`
}

// The kinds of what stands out.
const (
	FilesDeleted      = "files deleted"
	FilesChanged      = "files changed"
	ObjectsDeleted    = "objects deleted"
	NewAddress        = "new address"
	UnusualHour       = "unusual hour"
	RepositoryDeleted = "repository deleted"
	LockBroken        = "lock broken"
)

const (
	// enoughDays is on how many days a client must have been there before
	// anybody can say what is unusual for it: a week of daily backups.
	enoughDays = 7
	// enoughAddresses bounds the memory for one client: of one that comes from
	// more, none stands out.
	enoughAddresses = 1024
	// shownAddresses bounds those of one day, and enoughStandouts what one client
	// can make an operator read.
	shownAddresses  = 100
	enoughStandouts = 1000
)

// habits are what is known of one client.
type habits struct {
	client string
	// since is when the period that is asked for begins.
	since     time.Time
	days      map[string]*habitDay
	addresses map[netip.Prefix]int
	hours     [24]int
	// present is on how many days the client was there, lately on the last one;
	// newAddresses and newHours are how often it did what it had not before.
	present                int
	last                   string
	newAddresses, newHours int
	standouts              []Standout
}

// habitDay is a day of a client, with the session that did the most of each
// amount.
type habitDay struct {
	ClientDay
	most [amountKinds]mostOf
}

type mostOf struct {
	count   int64
	session string
	at      time.Time
}

func newHabits(client string, since time.Time) *habits {
	return &habits{client: client, since: since, days: map[string]*habitDay{}, addresses: map[netip.Prefix]int{}}
}

func (c *habits) local(at time.Time) time.Time { return at.In(c.since.Location()) }

func (c *habits) day(at time.Time) *habitDay {
	name := c.local(at).Format(time.DateOnly)
	if c.days[name] == nil {
		c.days[name] = &habitDay{ClientDay: ClientDay{Client: c.client, Day: name}}
	}
	return c.days[name]
}

func (d *habitDay) largest(kind amountKind, count int64, r Record) {
	if count > d.most[kind].count {
		d.most[kind] = mostOf{count, r.Session, r.Time}
	}
}

// window returns the days that are asked for.
func (c *habits) window() []ClientDay {
	var all []ClientDay
	for _, d := range c.sorted() {
		if d.Day >= c.firstDay() {
			all = append(all, d.ClientDay)
		}
	}
	return all
}

func (c *habits) firstDay() string { return c.since.Format(time.DateOnly) }

// sorted returns the days in their order.
func (c *habits) sorted() []*habitDay {
	var all []*habitDay
	for _, name := range slices.Sorted(maps.Keys(c.days)) {
		all = append(all, c.days[name])
	}
	return all
}

// standsOut notes what a record says of the client.
func (c *habits) standsOut(s Standout, r Record) {
	s.Client, s.Time, s.Session = c.client, r.Time, r.Session
	if r.Session == "" {
		s.Connection = r.Connection
	}
	if len(c.standouts) < enoughStandouts {
		c.standouts = append(c.standouts, s)
	}
}

// settled reports whether the client does what it did before on most days, so that
// something new is unusual: a machine that travels has a new address each day.
func (c *habits) settled(news int) bool { return c.present > enoughDays && 4*news <= c.present }

// attend counts the days on which the client is there.
func (c *habits) attend(at time.Time) {
	if day := c.local(at).Format(time.DateOnly); day != c.last {
		c.present++
		c.last = day
	}
}

// from learns where a client comes from.
func (c *habits) from(r Record, asked bool) {
	c.attend(r.Time)
	source := sourceOf(r.Address)
	switch {
	case c.addresses[source] > 0:
		c.addresses[source]++
		return
	case source == elsewhere || len(c.addresses) >= enoughAddresses:
		return
	}
	if day := c.day(r.Time); asked && len(day.NewAddresses) < shownAddresses {
		day.NewAddresses = append(day.NewAddresses, networkName(source))
	}
	if asked && c.settled(c.newAddresses) {
		c.standsOut(Standout{Kind: NewAddress, Value: networkName(source), Usual: networkName(mostFrequent(c.addresses))}, r)
	}
	c.addresses[source]++
	c.newAddresses++
}

// at learns when a client comes.
func (c *habits) at(r Record, asked bool) {
	c.attend(r.Time)
	hour := c.local(r.Time).Hour()
	if c.hours[(hour+23)%24]+c.hours[hour]+c.hours[(hour+1)%24] == 0 {
		if asked && c.settled(c.newHours) {
			usual := slices.Index(c.hours[:], slices.Max(c.hours[:]))
			c.standsOut(Standout{Kind: UnusualHour, Value: hourName(hour), Usual: hourName(usual)}, r)
		}
		c.newHours++
	}
	c.hours[hour]++
}

func hourName(hour int) string { return fmt.Sprintf("%02d:00", hour) }

// networkName is an address, or a network of several.
func networkName(network netip.Prefix) string {
	if network.IsSingleIP() {
		return network.Addr().String()
	}
	return network.String()
}

// mostFrequent returns the network with the most connections; of several the first.
func mostFrequent(counts map[netip.Prefix]int) netip.Prefix {
	return slices.MaxFunc(slices.SortedFunc(maps.Keys(counts), netip.Prefix.Compare), func(a, b netip.Prefix) int {
		return counts[a] - counts[b]
	})
}
