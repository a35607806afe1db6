package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// sample is what a gateway has of the host at one moment.
type sample struct {
	rss, heap, descriptors, threads, processes int
}

// watched are the values of a sample, and by how much each may grow: what a tenth more
// or a fixed amount is, the larger. A gateway's memory and threads are as many as its
// busiest moment wanted, which comes sooner or later.
func watched() []growth {
	return []growth{
		{"resident KiB", func(s sample) int { return s.rss }, 8 << 10},
		{"heap MiB", func(s sample) int { return s.heap }, 4},
		{"descriptors", func(s sample) int { return s.descriptors }, 24},
		{"threads", func(s sample) int { return s.threads }, 8},
		{"processes", func(s sample) int { return s.processes }, 12},
	}
}

type growth struct {
	name   string
	of     func(sample) int
	margin int
}

// sampler looks at a gateway again and again.
type sampler struct {
	p     *postern
	pause time.Duration
	taken []sample
	stop  chan struct{}
	done  chan struct{}
}

// newSampler takes some hundred samples in the time.
func newSampler(p *postern, lasts time.Duration) *sampler {
	s := &sampler{p: p, pause: max(lasts/300, 50*time.Millisecond), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		ticker := time.NewTicker(s.pause)
		defer ticker.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-ticker.C:
				s.taken = append(s.taken, s.take())
			}
		}
	}()
	return s
}

// take takes one sample. The heap is what the last collection of garbage left.
func (s *sampler) take() sample {
	pid := s.p.pid()
	status := fieldsOf(fmt.Sprintf("/proc/%d/status", pid))
	return sample{
		rss: status["VmRSS"], heap: s.p.heap(), descriptors: len(descriptors(pid)), threads: status["Threads"], processes: len(descendants(pid)),
	}
}

// collected is a line of GODEBUG=gctrace=1; the third of its sizes is what is left.
var collected = regexp.MustCompile(`^gc \d+ .*, \d+->\d+->(\d+) MB`)

// heap is what the gateway's heap held after its last collection, in MiB; 0 before it.
func (p *postern) heap() int {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	for _, line := range slices.Backward(p.log.lines) {
		if found := collected.FindStringSubmatch(line); found != nil {
			size, _ := strconv.Atoi(found[1])
			return size
		}
	}
	return 0
}

// judge ends the sampling, prints a table, and fails where the last third of the time
// took more than the second one. (The first is that in which everything begins.)
func (s *sampler) judge(t *testing.T) {
	t.Helper()
	close(s.stop)
	<-s.done
	third := len(s.taken) / 3
	if third < 2 {
		t.Fatalf("%d samples tell nothing", len(s.taken))
	}
	parts := [][]sample{s.taken[:third], s.taken[third : 2*third], s.taken[2*third:]}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "median (least-most)\tfirst third\tsecond\tlast")
	for _, g := range watched() {
		var medians []int
		fmt.Fprint(w, g.name)
		for _, part := range parts {
			least, median, most := spread(part, g.of)
			medians = append(medians, median)
			fmt.Fprintf(w, "\t%d (%d-%d)", median, least, most)
		}
		fmt.Fprintln(w)
		if most := medians[1] + max(medians[1]/10, g.margin); medians[2] > most {
			t.Errorf("%s grew from %d to %d, more than to %d", g.name, medians[1], medians[2], most)
		}
	}
	w.Flush()
	t.Logf("%d samples, one each %s\n%s", len(s.taken), s.pause, &table)
}

// spread is the least, the middle and the most of one value.
func spread(samples []sample, of func(sample) int) (least, median, most int) {
	var values []int
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[0], values[len(values)/2], values[len(values)-1]
}
