package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// left is what a gateway at rest has on the host, beside its records: what it has
// more of later was left behind.
type left struct {
	open, files, mounts, shared []string
}

// passingFiles are those of a trail, which come and go with its days and sizes, and
// what is saved of penalties.
var passingFiles = regexp.MustCompile(`^state/(audit/\d+\.\d{4}-\d{2}-\d{2}\.jsonl(\.zst)?|audit/\d+\.\d{4}-\d{2}-\d{2}\.index|audit/head|door\.json)$`)

// atRest waits until nothing goes on, and looks.
func (p *postern) atRest() (left, error) {
	if err := p.idle(); err != nil {
		return left{}, err
	}
	if err := until(func() (bool, string) {
		notes := names(p.w.path("gw/state/audit/notes")) // the gateway takes them in now and then
		return len(notes) == 0, "not on record: " + strings.Join(notes, ", ")
	}); err != nil {
		return left{}, err
	}
	files := slices.DeleteFunc(names(p.w.path("gw")), passingFiles.MatchString)
	own := fmt.Sprintf("state/control/%d.sock", p.pid())
	files = slices.DeleteFunc(files, func(name string) bool { return name == own })
	return left{descriptors(p.pid()), files, p.mounts(), names("/dev/shm")}, nil
}

// more tells what there is now that was not there before.
func (before left) more(now left) error {
	for what, pair := range map[string][2][]string{
		"descriptors of the gateway":     {before.open, now.open},
		"files in the gateway's folders": {before.files, now.files},
		"mounts":                         {before.mounts, now.mounts},
		"shared memory":                  {before.shared, now.shared},
	} {
		if found := surplus(pair[0], pair[1]); len(found) > 0 {
			return fmt.Errorf("left behind, %s: %s", what, strings.Join(found, ", "))
		}
	}
	return nil
}

// names lists all that lies below a folder, sorted.
func names(folder string) []string {
	var found []string
	_ = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != folder {
			found = append(found, strings.TrimPrefix(path, folder+"/"))
		}
		return nil // what is gone in between is not there
	})
	slices.Sort(found)
	return found
}

// mounts lists what the gateway sees mounted of its world.
func (p *postern) mounts() []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", p.pid()))
	var found []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.Contains(line, p.w.work) {
			found = append(found, fields[4])
		}
	}
	slices.Sort(found)
	return found
}

// started is one process, which no later one of its number is.
type started struct {
	pid   int
	since string
}

// family are the descendants of a process that run at the moment.
func family(pid int) []started {
	var all []started
	for _, p := range descendants(pid) {
		if since := birth(p.pid); since != "" {
			all = append(all, started{p.pid, since})
		}
	}
	return all
}

// birth is when a process began, in ticks since the start of the host; "" when it
// is gone, or is a zombie that whoever adopted it has not looked at yet.
func birth(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	end := strings.LastIndexByte(string(stat), ')')
	if err != nil || end < 0 {
		return ""
	}
	fields := strings.Fields(string(stat)[end+1:])
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19] // starttime, proc(5)
}

// gone waits until none of them runs.
func gone(all []started) error {
	return until(func() (bool, string) {
		live := slices.DeleteFunc(slices.Clone(all), func(s started) bool { return birth(s.pid) != s.since })
		return len(live) == 0, fmt.Sprintf("these run on: %+v", live)
	})
}
