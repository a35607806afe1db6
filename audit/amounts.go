package audit

import (
	"slices"
	"strconv"
)

// amountKind is something that clients do more or less of.
type amountKind int

const (
	filesDeleted amountKind = iota
	filesChanged
	objectsDeleted
	amountKinds
)

// amount says how one kind is judged.
type amount struct {
	name string
	// floor is what never stands out, however little is usual.
	floor int64
	// of returns how much there was on a day, and whether anybody counted.
	of func(d *habitDay) (int64, bool)
}

// amountTable is ordered by the kinds. A chunk of borg is a few MiB at most, and
// thinning out archives deletes hundreds.
func amountTable() [amountKinds]amount {
	return [amountKinds]amount{
		{FilesDeleted, 100, func(d *habitDay) (int64, bool) { return d.files().Deleted, d.Files != nil }},
		{FilesChanged, 100, func(d *habitDay) (int64, bool) { return d.files().Changed, d.Files != nil }},
		{ObjectsDeleted, 1000, func(d *habitDay) (int64, bool) {
			if d.Objects == nil {
				return 0, false
			}
			return d.Objects.Deleted, true
		}},
	}
}

func (d *habitDay) files() FileCounts {
	if d.Files == nil {
		return FileCounts{}
	}
	return *d.Files
}

// amounts returns the days of the period on which the client did far more of
// something than on those before, and whether there were too few of those, for the
// last day at least. Days that stood out are no measure for others.
func (c *habits) amounts() (all []Standout, tooNew bool) {
	days := c.sorted()
	last := days[len(days)-1]
	tooNew = last.Day >= c.firstDay() && len(days) <= enoughDays
	for kind, amount := range amountTable() {
		var before []int64
		for _, d := range days {
			count, known := amount.of(d)
			if !known {
				continue
			}
			if d == last {
				tooNew = tooNew || len(before) < enoughDays
			}
			usual, limit := judge(before, amount.floor)
			if d.Day < c.firstDay() || len(before) < enoughDays || count <= limit {
				before = append(before, count)
				continue
			}
			most := d.most[kind]
			all = append(all, Standout{
				Time: most.at, Client: c.client, Session: most.session, Kind: amount.name,
				Value: strconv.FormatInt(count, 10), Usual: strconv.FormatInt(usual, 10),
			})
		}
	}
	return all, tooNew
}

// judge returns the median of some counts, and the most that is still usual: twice
// what nine of ten days stay below, which lets a client be that does much once a
// week, and six standard deviations above the median, estimated by the median
// deviation (of which 1.48 are one) since that forgives single odd days.
func judge(counts []int64, floor int64) (usual, limit int64) {
	if len(counts) == 0 {
		return 0, floor
	}
	sorted := slices.Sorted(slices.Values(counts))
	usual = sorted[len(sorted)/2]
	deviations := make([]int64, len(sorted))
	for i, n := range sorted {
		deviations[i] = max(n-usual, usual-n)
	}
	slices.Sort(deviations)
	return usual, max(floor, 2*sorted[len(sorted)*9/10], usual+9*deviations[len(deviations)/2])
}
