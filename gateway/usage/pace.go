package usage

import (
	"time"

	"postern/policy"
)

const (
	// leastPause is between two counts of a folder however small.
	leastPause = time.Second
	// restShare is how often as long as a count the pause after it is, so that it
	// takes a tenth of one processor and of the disk's time at most, and a half where
	// the file system says that the limit may have been passed.
	restShare = 9
	// farPause is the pause while the limit is far away.
	farPause = time.Minute
	// No session writes faster than this, by what rsync copies on one host from file to
	// file, nor makes more files.
	fastestBytes = 1 << 30 // a second
	fastestFiles = 1 << 16 // a second
)

// Due reports whether a folder is to be counted again, so that a session that fills
// it is noticed when it passes the limits of the rule. What the session was sent does
// not matter: it can be compressed, or ask for copies of what is here already. What
// does is how long it would take to get there, and how much the file system has lost
// since, to whomever.
func (f Figure) Due(rule policy.Rule, now time.Time, left Left) bool {
	rested := now.Sub(f.Ended)
	return rested >= max(leastPause, restShare*f.Cost, f.pause(rule)) ||
		rested >= max(leastPause, f.Cost) && f.mayBeOver(rule, left)
}

// pause is how long it takes to the next limit at the least.
func (f Figure) pause(rule policy.Rule) time.Duration {
	pause := farPause
	if n, ok := rule.Quota.Number(); ok {
		pause = min(pause, seconds(n-f.Bytes, fastestBytes))
	}
	if n, ok := rule.MaxFiles.Number(); ok {
		pause = min(pause, seconds(n-f.Files, fastestFiles))
	}
	return pause
}

// seconds is how long an amount lasts.
func seconds(amount, perSecond int64) time.Duration {
	return time.Duration(min(max(amount, 0)/perSecond, int64(farPause/time.Second))) * time.Second
}

// mayBeOver reports whether the file system has lost as much as the folder might
// still take.
func (f Figure) mayBeOver(rule policy.Rule, left Left) bool {
	bytes, limitsBytes := rule.Quota.Number()
	files, limitsFiles := rule.MaxFiles.Number()
	return limitsBytes && f.Left.Bytes-left.Bytes > bytes-f.Bytes ||
		limitsFiles && f.Left.Inodes-left.Inodes > files-f.Files
}
