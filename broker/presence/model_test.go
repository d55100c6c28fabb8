package presence_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/presence"
)

// world is what happens in a run of the model test.
type world struct {
	steps  int
	skew   time.Duration // by which clocks differ at most
	loss   float64       // of messages
	slow   float64       // how many messages take up to 200 ms
	kills  bool
	drains bool
	moves  bool
	// outages are times in which no message arrives, also none about what is deposited or announced. Kills
	// may be close together then.
	outages bool
}

// Users connect with several tabs, join and leave rooms, lose connections and return, while nodes
// drain and are killed and messages are lost. In the end what was announced last of each user in each
// place is right, unless messages are lost and nodes are killed at the same time, and it was never
// announced that a user has left who was still there. If messages are lost in outages only, the last
// announcement is right all the same, except where a killed node knew something that others couldn't know
// yet, and until the next announcement. As long as no message is lost and no node is
// killed, each first and last socket is announced once.
func TestAgainstModel(t *testing.T) {
	worlds := map[string]world{
		"calm":           {steps: 300},
		"moves":          {steps: 300, moves: true},
		"drains":         {steps: 300, moves: true, drains: true},
		"skewed":         {steps: 300, moves: true, drains: true, skew: 500 * time.Millisecond},
		"kills":          {steps: 500, moves: true, drains: true, kills: true},
		"slow":           {steps: 300, moves: true, drains: true, slow: 0.1},
		"slow kills":     {steps: 500, moves: true, drains: true, kills: true, slow: 0.1},
		"losses":         {steps: 300, loss: 0.1},
		"outages":        {steps: 500, drains: true, outages: true},
		"outages, kills": {steps: 500, drains: true, kills: true, outages: true},
		"all that fails": {steps: 300, moves: true, drains: true, kills: true, loss: 0.1, skew: 200 * time.Millisecond},
	}
	for name, w := range worlds {
		t.Run(name, func(t *testing.T) {
			for _, seed := range seeds(t, name) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { w.run(t, seed) })
				})
			}
		})
	}
}

// seeds returns the seeds of a world: the first ones, and those that have found faults. SALA_SEED in
// the environment chooses one, and SALA_SEEDS how many of the first ones.
func seeds(t *testing.T, world string) (all []uint64) {
	number := func(name string, otherwise uint64) uint64 {
		text, ok := os.LookupEnv(name)
		if !ok {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	if _, one := os.LookupEnv("SALA_SEED"); one {
		return []uint64{number("SALA_SEED", 0)}
	}
	usual := uint64(15)
	if testing.Short() {
		usual = 3
	}
	for seed := range number("SALA_SEEDS", usual) {
		all = append(all, seed)
	}
	return append(all, foundFaults[world]...)
}

// foundFaults are seeds that have found faults.
var foundFaults = map[string][]uint64{
	// A node ends that knows what was announced, or whom it has passed on.
	"drains": {745, 1427},
	"skewed": {157, 239, 745, 766, 1427},
	// The same, and who comes to several nodes at once while it is found out about a lost one, or a take-over
	// that failed.
	"kills": {143, 213, 252, 427, 463, 539, 586, 591, 593, 751, 817, 842, 853, 1106, 1125, 1251, 1469, 1485},
	// A session moves while the user is found out about.
	"slow": {12},
}

// run has a network do what happens, and checks what was announced. All of that depends on the seed alone.
func (w world) run(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	net := newNetwork(t, seed)
	net.loss, net.slow, net.outages.happen = w.loss, w.slow, w.outages
	skew := func() time.Duration { return time.Duration((rng.Float64()*2 - 1) * float64(w.skew)) }
	for range 3 {
		net.add(skew())
	}
	defer net.stopAll()
	var sockets []*socket
	var killed time.Time
	for range w.steps {
		net.mu.Lock()
		node := net.nodes[rng.IntN(len(net.nodes))]
		for !node.alive || node.draining {
			node = net.nodes[rng.IntN(len(net.nodes))]
		}
		first := w.outages && node == net.nodes[0] // it lives on
		net.mu.Unlock()
		user := fmt.Sprintf("user%d", rng.IntN(6))
		room := fmt.Sprintf("room%d", rng.IntN(2))
		var s *socket
		if len(sockets) > 0 {
			s = sockets[rng.IntN(len(sockets))]
		}
		switch what := rng.IntN(100); {
		case what < 40 || s == nil:
			sockets = append(sockets, net.connect(node, user, room))
		case what < 55:
			net.disconnect(s, false)
		case what < 70:
			net.disconnect(s, true)
		case what < 85:
			net.toggle(s, room)
		case what < 93:
			if w.moves {
				net.running.Go(func() { net.move(s, node) })
			}
		case what < 95:
			if w.drains && !first {
				net.add(skew())
				net.mu.Lock()
				node.draining = true
				net.mu.Unlock()
				sessions := rng.IntN(2) == 0
				net.running.Go(func() { net.drain(node, sessions) })
				pass(time.Duration(rng.IntN(300)) * time.Millisecond)
			}
		case what < 96:
			// Without outages, a node and its successors aren't lost together.
			if w.kills && !first && (w.outages || time.Since(killed) > noticed+2*time.Second) {
				killed = time.Now()
				net.add(skew())
				net.kill(node)
			}
		case what < 98: // so often that it takes long to notice that nodes are lost
			if w.outages {
				net.fail(time.Duration(50+rng.IntN(300)) * time.Millisecond)
			}
		}
		pass(time.Duration(rng.ExpFloat64() * float64(30*time.Millisecond)))
	}
	net.running.Wait()
	net.mu.Lock()
	net.loss = 0
	net.mu.Unlock()
	pass(2 * time.Minute)
	for _, p := range net.everywhere() {
		w.check(t, net, p)
	}
}

// check compares what was announced about a place with what happened.
func (w world) check(t *testing.T, net *network, p presence.Place) {
	t.Helper()
	all := net.history(p)
	problem := ""
	net.mu.Lock()
	excused := w.kills && w.loss > 0 || net.excuses(p) // what a killed node was about to say may be lost with the messages before
	net.mu.Unlock()
	if there := net.isPresent(p); !excused && (len(all) == 0 && there || len(all) > 0 && all[len(all)-1].Left == there) {
		problem = "the last announcement is wrong"
	}
	for i, a := range all {
		if exact := !w.kills && !w.outages && w.loss == 0; exact && a.Left != (i%2 == 1) {
			problem = "something was announced twice, or not"
		}
		for _, s := range net.stays[p] {
			then := a.Time.After(s.from.Add(w.skew)) && (s.to.IsZero() || a.Time.Add(w.skew).Before(s.to))
			still := a.at.After(s.from) && (s.to.IsZero() || a.at.Before(s.to))
			if a.Left && then && still {
				problem = "a user has left who is still there"
			}
		}
	}
	if problem != "" {
		t.Errorf("%s: %+v%s", problem, p, net.describe(p))
	}
}
