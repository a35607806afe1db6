package e2e

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// strangersAtOnce are the bad connections that come and go at one time: fewer than
// "startups" lets in beside each other, so that the gateway deals with each of them.
const strangersAtOnce = 60

// TestSiegeStrangers sends a gateway bad connections of every kind, each from an
// address of its own as those of a botnet, while a good client goes on backing up. At
// first they come and go, then they stay for as long as they are let, more than there
// are places for. All backups succeed. The gateway takes little for all that, and has
// no more open afterwards than before.
func TestSiegeStrangers(t *testing.T) {
	t.Parallel()
	w := siegeWorld(t)
	p := w.besiege(t, "{sessions: 10}")
	good := &backups{w: w, ssh: "ssh", folder: "good"}
	quiet := good.quiet(t, max(10, *siegeStrangers/100))

	s := &strangers{t: t, gateway: p.Address(), counts: map[string]map[verdict]int{}}
	kinds := badConnections(newSigner(t))
	all := s.choose(kinds, replays(w.record(t)))
	before := measure(t, p.pid())
	rush := good.during(t, func() { s.rush(all) })
	stay := good.during(t, func() { s.stay(kinds, max(len(all)/20, 2*len(kinds))) })
	s.report()
	t.Logf("as %d come and go:", len(all))
	compareTimes(t, quiet, rush)
	t.Log("as others stay:")
	compareTimes(t, quiet, stay)
	w.littleOnRecord(t)
	if err := p.idle(); err != nil {
		t.Error(err)
	}
	after := measure(t, p.pid())
	t.Logf("before: %v", before)
	t.Logf("after:  %v", after)
	if after.peak > before.peak+strangersMemory {
		t.Errorf("the gateway took %d MiB more; %d should do", after.peak-before.peak, strangersMemory)
	}
	if after.threads > before.threads+strangersAtOnce {
		t.Errorf("the gateway has %d threads, and had %d", after.threads, before.threads)
	}
}

// strangersMemory is what the bad connections may take, in MiB: a leak of 7 KiB for
// each of ten thousand is more.
const strangersMemory = 64

// strangers are the attackers.
type strangers struct {
	t       *testing.T
	gateway string

	mu     sync.Mutex
	next   int
	counts map[string]map[verdict]int
}

// choose takes as many as are asked for, each kind at least once: of what is replayed
// each cut and each bit before any of them comes again.
func (s *strangers) choose(kinds, replays []visit) []visit {
	seed := uint64(time.Now().UnixNano())
	s.t.Logf("seed %d, %d kinds, %d replays", seed, len(kinds), len(replays))
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(replays), func(i, j int) { replays[i], replays[j] = replays[j], replays[i] })
	var all []visit
	for i := 0; len(all) < *siegeStrangers; i++ {
		all = append(all, replays[i%len(replays)])
		if i%2 == 0 {
			all = append(all, kinds[i/2%len(kinds)])
		}
	}
	return all
}

// rush has them come and go.
func (s *strangers) rush(all []visit) {
	start, queue := time.Now(), make(chan visit)
	var wait sync.WaitGroup
	for range strangersAtOnce {
		wait.Go(func() {
			for a := range queue {
				s.one(a, a.kind, false)
			}
		})
	}
	for _, a := range all {
		queue <- a
	}
	close(queue)
	wait.Wait()
	s.t.Logf("%d bad connections within %v", len(all), time.Since(start).Round(time.Second))
}

// stay has so many of them stay at once.
func (s *strangers) stay(kinds []visit, n int) {
	start := time.Now()
	var wait sync.WaitGroup
	for i := range n {
		a := kinds[i%len(kinds)]
		wait.Go(func() { s.one(a, "stays: "+a.kind, true) })
	}
	wait.Wait()
	s.t.Logf("%d that stay were over after %v", n, time.Since(start).Round(time.Second))
}

// one strikes from the next address.
func (s *strangers) one(v visit, kind string, stays bool) {
	s.mu.Lock()
	s.next++
	from := net.IPv4(127, 66, byte(s.next>>8), byte(s.next))
	s.mu.Unlock()
	conn, err := dialFrom(from, s.gateway)
	if err != nil {
		s.t.Errorf("%s: %v", kind, err)
		return
	}
	s.count(kind, v.strike(context.Background(), conn, stays))
}

func (s *strangers) count(kind string, what verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[kind] == nil {
		s.counts[kind] = map[verdict]int{}
	}
	s.counts[kind][what]++
}

// report says what became of each kind. Of each there must be some that the gateway
// dealt with, and none that it did not end.
func (s *strangers) report() {
	for _, kind := range slices.Sorted(maps.Keys(s.counts)) {
		c := s.counts[kind]
		s.t.Logf("%-45s %5d served, %4d turned away, %4d dropped", kind, c[served], c[turnedAway], c[dropped])
		if c[served] == 0 {
			s.t.Errorf("%s: the gateway dealt with none of them", kind)
		}
		if c[stuck] > 0 {
			s.t.Errorf("%s: %d of them were not ended", kind, c[stuck])
		}
	}
}
