package policy

import (
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"
)

// Usage is what a folder holds, without the folder itself.
type Usage struct {
	// Bytes is what its file system has set aside for it.
	Bytes int64
	// Files counts files, folders, links and whatever else has a name, each
	// once, however many names it has.
	Files int64
}

// Measured reports whether the rule limits what its folder holds in a way that only
// the gateway can watch over.
func (rule Rule) Measured() bool {
	return rule.Tool == Rsync && (rule.Quota.set || rule.MaxFiles.set)
}

// Fits refuses where the folder of the rule holds more than the rule lets it hold.
func (rule Rule) Fits(u Usage) *Refusal {
	if rule.Tool != Rsync {
		return nil
	}
	if n, set := rule.Quota.Number(); set && u.Bytes > n {
		has, most := sizes(u.Bytes, n)
		return rule.overfull("quota", fmt.Sprintf("%s holds %s, and its quota is %s", rule.Path, has, most), "quota: SIZE")
	}
	if n, set := rule.MaxFiles.Number(); set && u.Files > n {
		return rule.overfull("max-files", fmt.Sprintf("%s holds %d files and folders, and at most %d are allowed (max_files)",
			rule.Path, u.Files, n), "max_files: NUMBER")
	}
	return nil
}

// sizes returns two numbers of bytes in words that differ.
func sizes(a, b int64) (string, string) {
	x, y := humanize.IBytes(uint64(max(a, 0))), humanize.IBytes(uint64(max(b, 0)))
	if x == y {
		return fmt.Sprintf("%d bytes", a), fmt.Sprintf("%d bytes", b)
	}
	return x, y
}

// overfull is the refusal of a folder that holds too much.
func (rule Rule) overfull(code, message, line string) *Refusal {
	remedy := "ask the gateway's operator for room"
	if rule.Delete {
		remedy = "delete there first, for instance what SOURCE no longer has: " +
			"rsync -r --delete --existing --ignore-existing SOURCE/ DESTINATION/; or " + remedy
	}
	return &Refusal{Code: code, Status: ExitRefused, Message: message, Remedy: remedy, Line: line,
		Detail: "the limit stands in " + rule.Where}
}

// Alters returns the rules in whose folders the session of an allowed decision can
// change something.
func (d Decision) Alters() []Rule {
	if d.Verdict != Allow || d.Dry {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(d.Rules), func(r Rule) bool { return !d.writes(r) })
}
