package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/rs/zerolog"
)

// lostWhy is why a session has no other end.
const lostWhy = "the gateway was killed, or its host lost power"

// endLost records the end of the sessions with these decisions, in which the
// gateway before was killed, so that every session that was allowed has one. A
// gateway that is killed here leaves the rest to the next one.
func (t *Trail) endLost(decisions [][]byte) error {
	for _, line := range decisions {
		end, ok := lostEnd(line)
		if !ok {
			continue
		}
		if err := t.record(end.level, end.event, end.care, end.fields); err != nil {
			return err
		}
	}
	return nil
}

// lostEnd is the end of the session with this decision. A decision that cannot be read
// has none.
func lostEnd(decision []byte) (end entry, ok bool) {
	r, err := parseRecord(decision)
	if err != nil {
		return entry{}, false
	}
	c := Connection{ID: r.Connection, Address: r.Address, Client: r.Client, Key: r.Key}
	return entry{zerolog.WarnLevel, endedEvent, loose, func(e *zerolog.Event) {
		c.mark(e)
		e.Str("session", r.Session).Bool("lost", true).Str("why", lostWhy)
	}}, true
}

// unended returns the decisions whose sessions have no end, where no gateway runs. It
// reads the trail back to where the first of those began that ran at last: the records
// of a gateway's start and of its end name those beside it. When one that was alone
// started or stopped, every session before had its end.
func unended(dir string) ([][]byte, error) {
	floor, known := uint64(0), false
	a, err := readBack(dir, 0, func(f file, here account) bool {
		if here.marked && !known {
			floor, known = here.floor, true
		}
		return known && f.first <= floor
	})
	return a.running(), err
}

// fateOf returns what the trail tells of a gateway and its sessions since a record.
func fateOf(dir string, gateway, since uint64) (account, error) {
	a, err := readBack(dir, since, func(f file, here account) bool { return f.first <= since || here.gone[gateway] })
	if err != nil {
		return a, err
	}
	a.began, a.stopped = a.came[gateway], a.gone[gateway]
	maps.DeleteFunc(a.begun, func(_ string, line []byte) bool { return gatewayOf(line) != gateway })
	return a, nil
}

// readBack reads the files of a trail, the last one first, until it is enough or until
// one tells that those before it have nothing to tell. Records before since are left
// out.
func readBack(dir string, since uint64, enough func(f file, here account) bool) (account, error) {
	all := newAccount()
	files, err := listFiles(dir)
	if err != nil {
		return all, err
	}
	for _, f := range slices.Backward(files) {
		here, err := accountOf(f, since)
		if err != nil {
			// What is wrong with a file is for Verify to say. A gateway that
			// does not start because of it would help nobody.
			break
		}
		done := here.whole || enough(f, here)
		here.goOn(all)
		if all = here; done {
			break
		}
	}
	return all, nil
}

// account is what some records tell of gateways and their sessions.
type account struct {
	// begun are the decisions of those that did not end in these records, and
	// ended are those that did not begin in them.
	begun map[string][]byte
	ended map[string]bool
	// came are the gateways that started, and gone those that stopped.
	came, gone map[uint64]bool
	// marked says that a gateway started or stopped, and floor which is the
	// oldest that was there then.
	marked bool
	floor  uint64
	// whole says that the records before tell nothing.
	whole bool
	// began and stopped are of the one gateway that was asked for.
	began, stopped bool
}

func newAccount() account {
	return account{begun: map[string][]byte{}, ended: map[string]bool{}, came: map[uint64]bool{}, gone: map[uint64]bool{}}
}

func accountOf(f file, since uint64) (account, error) {
	a := newAccount()
	p, err := f.pages()
	if err != nil {
		return a, err
	}
	defer p.close()
	for lines, err := range p.all() {
		if err != nil {
			return a, fmt.Errorf("%s: %w", f.path, err)
		}
		for line := range bytes.Lines(lines) {
			if f.first < since {
				if number, _, _ := linkOf(line); number < since {
					continue
				}
			}
			a.take(line)
		}
	}
	return a, nil
}

// goOn adds what later records tell.
func (a *account) goOn(later account) {
	maps.DeleteFunc(a.begun, func(session string, line []byte) bool {
		return later.ended[session] || later.gone[gatewayOf(line)]
	})
	maps.Copy(a.begun, later.begun)
	maps.Copy(a.ended, later.ended)
	maps.Copy(a.came, later.came)
	maps.Copy(a.gone, later.gone)
	a.stopped = a.stopped || later.stopped
}

// take adds a record.
func (a *account) take(line []byte) {
	switch {
	case endsLike(line, startedEvent):
		m := markOf(line)
		a.came[m.Gateway] = true
		a.mark(m)
	case endsLike(line, stoppedEvent):
		m := markOf(line)
		a.gone[m.Gateway] = true
		maps.DeleteFunc(a.begun, func(_ string, line []byte) bool { return gatewayOf(line) == m.Gateway })
		a.mark(m)
	case endsLike(line, decidedEvent) && bytes.Contains(line, []byte(`,"verdict":"allow"`)):
		a.begun[sessionOf(line)] = bytes.Clone(line)
	case endsLike(line, endedEvent):
		session := sessionOf(line)
		if a.begun[session] == nil {
			a.ended[session] = true
		}
		delete(a.begun, session)
	}
}

// mark takes in who was there when a gateway started or stopped.
func (a *account) mark(m mark) {
	a.marked = true
	if len(m.Beside) > 0 {
		a.floor = slices.Min(m.Beside)
		return
	}
	clear(a.begun)
	clear(a.ended)
	a.whole = true
}

// running are the decisions of sessions without an end, in their order.
func (a *account) running() [][]byte {
	return slices.SortedFunc(maps.Values(a.begun), func(a, b []byte) int {
		first, _, _ := linkOf(a)
		second, _, _ := linkOf(b)
		return cmp.Compare(first, second)
	})
}

// mark is what is read of the record of a gateway's start or end.
type mark struct {
	Gateway uint64   `json:"gateway"`
	Beside  []uint64 `json:"beside"`
}

// markOf reads one. What cannot be read is that of a gateway which was alone.
func markOf(line []byte) (m mark) {
	if json.Unmarshal(line, &m) != nil {
		return mark{}
	}
	return m
}

// gatewayOf is the gateway that a record names, or zero. As with sessionOf nothing that
// a client sent can look like the field.
func gatewayOf(line []byte) uint64 {
	_, rest, _ := bytes.Cut(line, []byte(`,"gateway":`))
	end := bytes.IndexAny(rest, ",}")
	gateway, err := strconv.ParseUint(string(rest[:max(end, 0)]), 10, 64)
	if err != nil {
		return 0
	}
	return gateway
}

// sessionOf is the session that a record names. Nothing that a client sent can
// look like the field: its quotes would be escaped.
func sessionOf(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte(`,"session":"`))
	session, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(session)
}
