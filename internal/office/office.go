// Package office writes the trail of a busy office, as its gateway would, for
// benchmarks and tests: 200 clients that back up with rsync and borg over the day,
// strangers who knock, restarts and crashes. The same options make the same trail,
// but for its key.
package office

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"postern/audit"
)

// A year of an office: this many clients and records.
const (
	Clients = 200
	Year    = 10_000_000
)

// perDay is how many records the gateway of the office writes each day.
const perDay = Year / 365

// Begin is the first day of every trail.
func Begin() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// Quiet is the name of a client that comes every five days; the others come some
// thirty times a day.
const (
	Quiet = "client-000"
	quiet = 0
)

// Write writes a trail of at least that many records into a folder: the beginning
// of the year. change, which may be nil, alters how the trail is kept.
func Write(dir string, records int, change func(*audit.Options)) (err error) {
	o := &office{random: rand.New(rand.NewPCG(1, 2)), now: Begin()}
	options := audit.Options{Dir: dir, Prints: io.Discard, Now: func() time.Time { return o.now }}
	if change != nil {
		change(&options)
	}
	o.trail, err = audit.Open(options)
	if err != nil {
		return err
	}
	for day := Begin(); o.written < records && err == nil; day = day.AddDate(0, 0, 1) {
		err = o.day(day, min(perDay, records-o.written))
	}
	return errors.Join(err, o.trail.Close())
}

// office is one that is open.
type office struct {
	trail   *audit.Trail
	random  *rand.Rand
	now     time.Time
	written int
	// ahead are the events that are still to come, and began is when what is
	// planned now begins.
	ahead []event
	began time.Time
}

// event is something that is recorded at a time, and part of what began before.
type event struct {
	began, at time.Time
	record    func() error
}

// plan has something recorded at a time.
func (o *office) plan(at time.Time, record func() error) {
	o.ahead = append(o.ahead, event{o.began, at, record})
}

func (o *office) sort() {
	slices.SortStableFunc(o.ahead, func(a, b event) int { return a.at.Compare(b.at) })
}

// day plans as many events as there are records, and records what has its time
// by midnight.
func (o *office) day(day time.Time, records int) error {
	o.restart(day)
	wanted := len(o.ahead) + records
	if day.YearDay()%5 == 1 {
		o.began = day.Add(o.hour())
		o.visit(o.began, quiet)
	}
	for len(o.ahead) < wanted {
		o.began = day.Add(o.hour())
		if o.random.IntN(8) == 0 {
			o.stranger(o.began)
		} else {
			o.visit(o.began, 1+o.random.IntN(Clients-1))
		}
	}
	o.sort()
	midnight := day.AddDate(0, 0, 1)
	for len(o.ahead) > 0 && o.ahead[0].at.Before(midnight) {
		next := o.ahead[0]
		o.ahead = o.ahead[1:]
		o.now = next.at
		o.written++
		if err := next.record(); err != nil {
			return err
		}
	}
	return nil
}

// hour is a time of day: more at night than by day.
func (o *office) hour() time.Duration {
	if o.random.IntN(3) == 0 {
		return o.during(6 * time.Hour)
	}
	return o.during(24 * time.Hour)
}

// during is a moment up to a limit.
func (o *office) during(limit time.Duration) time.Duration {
	return time.Duration(o.random.Int64N(int64(limit))).Truncate(time.Millisecond)
}

// restart begins the trail, and each ten days ends one gateway and begins another:
// one of three dies with all that it was at, the others end that first.
func (o *office) restart(day time.Time) {
	nth := day.YearDay() - 1
	if nth%10 != 0 {
		return
	}
	o.began = day.Add(o.during(24 * time.Hour))
	at := o.began
	if nth == 0 {
		at = day
	}
	begun := func(e event) bool { return e.began.Before(at) }
	o.plan(at, func() error {
		if nth%30 == 10 {
			o.ahead = slices.DeleteFunc(o.ahead, begun)
		}
		for i, e := range o.ahead {
			if begun(e) {
				o.ahead[i].at = at
			}
		}
		o.sort()
		return nil
	})
	if nth > 0 && nth%30 != 10 {
		o.plan(at.Add(time.Millisecond), func() error { return o.trail.GatewayStopped("terminated signal received") })
	}
	o.plan(at.Add(time.Second), func() error {
		return o.trail.GatewayStarted(audit.Start{
			Version: "1.0.0", Listen: []string{":2222"}, HostKeys: []string{key(1000)}, Clients: Clients, Policy: "cc1f66f1564fba64", Confinement: "full",
			Programs: []audit.Program{{Name: "rsync", Path: "/usr/bin/rsync", Version: "3.2.7"}},
		})
	})
}

// connection is one that comes at a time, as the gateway names it.
func (o *office) connection(at time.Time, address string) audit.Connection {
	return audit.Connection{ID: fmt.Sprintf("%08x%08x", at.Unix(), o.random.Uint32()), Address: fmt.Sprintf("%s:%d", address, 1024+o.random.IntN(60000))}
}

// key is the fingerprint of one.
func key(n int) string {
	random := rand.New(rand.NewPCG(uint64(n), 3))
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	text := []byte("SHA256:")
	for range 43 {
		text = append(text, letters[random.IntN(len(letters))])
	}
	return string(text)
}

// stranger knocks and is not let in: half of them from few places.
func (o *office) stranger(at time.Time) {
	address := fmt.Sprintf("203.0.113.%d", o.random.IntN(30))
	if o.random.IntN(2) == 0 {
		address = fmt.Sprintf("198.%d.%d.%d", 18+o.random.IntN(2), o.random.IntN(256), o.random.IntN(256))
	}
	c := o.connection(at, address)
	c.Login, c.Software = cmp.Or([]string{"root", "admin", "", "ubuntu", "git"}[o.random.IntN(5)], "backup"), "SSH-2.0-Go"
	if o.random.IntN(3) > 0 {
		o.plan(at, func() error { return o.trail.ConnectionRefused(c, "nobody proved who they are in time") })
		return
	}
	refusal := audit.KeyRefusal{Fingerprint: key(2000 + o.random.IntN(50)), Type: "ssh-ed25519", Code: "unknown-key", Why: "the key is of no client"}
	o.plan(at, func() error { return o.trail.KeyRefused(c, refusal) })
}
