package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// mark is what the server's side looked like at one moment.
type mark struct {
	folders []string
	prints  map[string]string
	faults  int
	lines   int
}

// mark remembers the state of the server's disk, and of its children.
func (w *world) mark() (mark, error) {
	folders := []string{w.path("nas"), w.path("outside"), w.path("gw/clients.d"), w.path("gw/postern.yaml")}
	for _, pair := range w.folders {
		_, folder, _ := strings.Cut(pair, "=")
		folders = append(folders, folder)
	}
	return w.markOf(folders...)
}

// markOf is [world.mark] for some folders.
func (w *world) markOf(folders ...string) (mark, error) {
	m := mark{folders: folders}
	var err error
	if m.prints, err = fingerprint(m.folders...); err != nil {
		return m, err
	}
	if p, ok := w.server.(*postern); ok {
		if err := p.idle(); err != nil {
			return m, err
		}
		self, _ := readProcess(p.pid())
		m.faults = self.childFaults
		m.lines = p.log.len()
	}
	return m, nil
}

// nothingChanged fails when anything on the server's disk is different.
func (m mark) nothingChanged() error { return m.nothingChangedBut("") }

// nothingChangedBut is nothingChanged that does not look at the time of one folder.
func (m mark) nothingChangedBut(folder string) error {
	now, err := fingerprint(m.folders...)
	if err != nil {
		return err
	}
	if at, ok := m.prints[folder]; ok && sameButTime(at, now[folder]) {
		now[folder] = at
	}
	if found := changes(m.prints, now); len(found) > 0 {
		return fmt.Errorf("something on the server's disk changed:\n%s", strings.Join(found, "\n"))
	}
	return nil
}

// times are those that a change of a folder's entries leaves on it.
var times = regexp.MustCompile(`(modified|changed) \d+`)

func sameButTime(a, b string) bool {
	return times.ReplaceAllString(a, "") == times.ReplaceAllString(b, "")
}

// processStarted tells whether the gateway has had a child since. The kernel
// counts for it the page faults of all children that it waited for.
func (m mark) processStarted(w *world) (bool, error) {
	p, ok := w.server.(*postern)
	if !ok {
		return false, errors.New("only postern refuses without starting a process")
	}
	if err := p.idle(); err != nil {
		return false, err
	}
	self, ok := readProcess(p.pid())
	if !ok {
		return false, errors.New("the gateway is gone")
	}
	return self.childFaults != m.faults, nil
}

// nothingHappened is [mark.nothingChanged], and that no process was started.
func (m mark) nothingHappened(w *world) error {
	if err := m.nothingChanged(); err != nil {
		return err
	}
	started, err := m.processStarted(w)
	if err == nil && started {
		err = errors.New("the gateway started a process for what it refused")
	}
	return err
}

// refusal is the one line that a client gets: why, and what to change. Borg puts
// its own word before it.
var refusal = regexp.MustCompile(`(?m)^(Remote: )?postern: refused: .+$`)

// refusalLine fails unless stderr has exactly one line of postern.
func refusalLine(stderr string) error {
	found := refusal.FindAllString(stderr, -1)
	if len(found) != 1 {
		return fmt.Errorf(`stderr has %d lines "postern: refused: ...":`+"\n%s", len(found), stderr)
	}
	return nil
}

// serverSide lists the processes that serve the world's clients.
func (w *world) serverSide() []process {
	switch s := w.server.(type) {
	case *postern:
		return descendants(s.pid())
	case *sshd:
		s.mu.Lock()
		defer s.mu.Unlock()
		var all []process
		for cmd := range s.running {
			all = append(all, descendants(cmd.Process.Pid)...)
		}
		return all
	}
	return nil
}
