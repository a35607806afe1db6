package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is how long anything that must happen may take: far longer than it
// does, because a machine that tests is busy.
const patience = 30 * time.Second

// until asks again and again, until ok or out of patience. The kernel tells
// nobody when a process of someone else's ends, so there is nothing to wait for.
func until(ask func() (ok bool, state string)) error {
	end := time.Now().Add(patience)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		ok, state := ask()
		if ok {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %s: %s", patience, state)
		}
		<-time.After(pause)
	}
}

// process is what /proc tells of one process.
type process struct {
	pid, parent int
	// childFaults counts the page faults of the children that were waited
	// for. It grows with every child, however short its life.
	childFaults int
	text        string
}

// readProcess reports false when the process is gone.
func readProcess(pid int) (process, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name in parentheses may hold anything; the rest may not.
	end := strings.LastIndexByte(string(stat), ')')
	fields := strings.Fields(string(stat)[end+1:])
	if end < 0 || len(fields) < 9 {
		return process{}, false
	}
	p := process{pid: pid}
	p.parent, _ = strconv.Atoi(fields[1])
	p.childFaults, _ = strconv.Atoi(fields[8])
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	p.text = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	if p.text == "" {
		p.text = string(stat)[:end+1] + " " + fields[0]
	}
	return p, true
}

// processes lists every process of the machine.
func processes() []process {
	entries, _ := os.ReadDir("/proc")
	var all []process
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := readProcess(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

// descendants lists the children of pid, and theirs, zombies too.
func descendants(pid int) []process {
	all := processes()
	family := []int{pid}
	var found []process
	for i := 0; i < len(family); i++ {
		for _, p := range all {
			if p.parent == family[i] && !slices.Contains(family, p.pid) {
				family = append(family, p.pid)
				found = append(found, p)
			}
		}
	}
	return found
}

// strays lists the processes that have to do with the folder work: by their
// arguments, their folder or their environment. A child that lost its parent is
// still found so.
func strays(work string, known ...int) []process {
	var found []process
	for _, p := range processes() {
		if p.pid == os.Getpid() || slices.Contains(known, p.pid) {
			continue
		}
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid))
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if strings.Contains(p.text+"\x00"+cwd+"\x00"+string(environ), work) {
			found = append(found, p)
		}
	}
	return found
}

func describe(list []process) string {
	var lines []string
	for _, p := range list {
		lines = append(lines, fmt.Sprintf("pid %d (parent %d): %s", p.pid, p.parent, p.text))
	}
	return strings.Join(lines, "\n")
}

// passing is what says nothing of what is open: the number in "socket:[123]", that of
// the process in its own folder of /proc, and the name of the audit trail's file of the
// day.
var passing = regexp.MustCompile(`:\[\d+\]|^/proc/\d+|\d+\.\d{4}-\d{2}-\d{2}\.jsonl`)

// descriptors lists what the process has open, sorted.
func descriptors(pid int) []string {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(folder)
	var open []string
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(folder, e.Name())); err == nil {
			open = append(open, passing.ReplaceAllString(target, ""))
		}
	}
	slices.Sort(open)
	return open
}

// surplus lists what now has more of than before.
func surplus(before, now []string) []string {
	left := slices.Clone(before)
	var more []string
	for _, s := range now {
		if i := slices.Index(left, s); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			more = append(more, s)
		}
	}
	return more
}
