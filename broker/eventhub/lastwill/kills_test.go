package lastwill_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// Whichever nodes are killed, and whenever: backends are handed the Disconnect of every socket that
// a surviving node keeps. They are handed it once, or the others are marked Redelivered.
func TestRandomKills(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomKills(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func randomKills(t *testing.T, r *rand.Rand) {
	var ids []cluster.NodeID
	for i := range 2 + r.IntN(6) {
		ids = append(ids, cluster.NodeID(fmt.Sprint("n", i)))
	}
	ns := newNodes(t, ids...)
	pass(3 * time.Second)
	counter := 0
	for range r.IntN(100) {
		n := ns.all[ids[r.IntN(len(ids))]]
		some := make([]string, r.IntN(20))
		for i := range some {
			some[i] = fmt.Sprintf("%s-%05d", n.id, counter)
			counter++
		}
		n.connect(some...)
		for _, id := range some {
			if r.IntN(4) == 0 {
				n.end(id)
			}
		}
		pass(time.Duration(r.IntN(20)) * time.Millisecond)
	}
	pass(3 * time.Second)

	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	killed := ids[:1+r.IntN(len(ids)-1)]
	dead := make(map[cluster.NodeID]*node)
	for _, id := range killed {
		dead[id] = ns.all[id]
	}
	left := slices.Clone(ids[len(killed):])
	killAll(ns, r, killed)
	pass(30 * time.Second)

	ns.mu.Lock()
	defer ns.mu.Unlock()
	first, again := ns.disconnects()
	missing := 0
	for _, n := range dead {
		for socket := range n.sockets {
			if first[socket]+again[socket] == 0 {
				missing++
			}
			if first[socket] > 1 {
				t.Errorf("the Disconnect of %s came %d times, unmarked", socket, first[socket])
			}
			delete(first, socket)
			delete(again, socket)
		}
	}
	if len(first)+len(again) > 0 {
		t.Errorf("disconnects of %v and %v came, which aren't gone", first, again)
	}
	if missing > 0 && (len(ids) <= 5 || ns.forgotten == 0) {
		t.Errorf("%d of %d nodes were killed, %q are left: the disconnects of %d sockets are missing, %d were counted",
			len(killed), len(ids), left, missing, ns.forgotten)
	}
}

// killAll kills nodes, most within two seconds, some while disconnects are published, and lets the
// others notice.
func killAll(ns *nodes, r *rand.Rand, killed []cluster.NodeID) {
	var deaths sync.WaitGroup
	n := len(ns.all)
	for _, id := range killed {
		after := time.Duration(r.IntN(2000)) * time.Millisecond
		if r.IntN(3) == 0 {
			after = 4*time.Second + time.Duration(r.IntN(3000))*time.Millisecond
		}
		var notices []time.Duration
		for range n {
			notices = append(notices, 4*time.Second+time.Duration(r.IntN(1250))*time.Millisecond)
		}
		deaths.Go(func() {
			<-time.After(after)
			ns.kill(id)
			ns.mu.Lock()
			others := slices.Collect(maps.Values(ns.all))
			ns.mu.Unlock()
			var noticing sync.WaitGroup
			for i, other := range others {
				noticing.Go(func() {
					<-time.After(notices[i])
					other.notice(id)
				})
			}
			noticing.Wait()
		})
	}
	deaths.Wait()
}

// disconnects counts the disconnects that backends were handed, by socket: unmarked and marked. The
// caller holds mu.
func (ns *nodes) disconnects() (first, again map[string]int) {
	first, again = make(map[string]int), make(map[string]int)
	for _, text := range ns.gone {
		if id, redelivered := strings.CutSuffix(text, "!"); redelivered {
			again[id]++
		} else {
			first[id]++
		}
	}
	return first, again
}
