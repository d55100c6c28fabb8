package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/idempotency"
)

// TestModel lets nodes that crash, whose store fails and that can't always be reached carry out the same
// keys again and again, over both stores. No node delivers a key twice, and a complete result means that
// each node which was there has delivered it.
func TestModel(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) idempotency.Store{
		"memory": func(*testing.T) idempotency.Store { return idempotency.NewMemory(window) },
		"shared": func(t *testing.T) idempotency.Store { return shared(t, clustertest.NewExchange().Bus()) },
	} {
		for seed := range uint64(150) {
			synctest.Test(t, func(t *testing.T) {
				defer func() {
					if t.Failed() {
						t.Fatalf("store %s, seed %d", name, seed)
					}
				}()
				m := &model{t: t, random: rand.New(rand.NewPCG(seed, 1)), store: start(t)}
				for i := range m.nodes {
					m.start(i)
				}
				for range 60 {
					m.step()
				}
				m.settle()
			})
		}
	}
}

const modelKeys = 4

type model struct {
	t      *testing.T
	random *rand.Rand
	store  idempotency.Store
	nodes  [3]*modelNode
	starts int

	claimed [modelKeys]*idempotency.ID // the identity that a key has
}

// modelNode is one node, from its start to its crash.
type modelNode struct {
	m          *model
	id         string
	crashed    bool
	away       bool // can't be reached
	last       uint64
	keys       *idempotency.Keys
	deliveries *idempotency.Deliveries[int]
	delivered  [modelKeys]int

	// What goes wrong with the current call.
	crashAfter int  // steps
	failStep   int  // the step in the store that fails
	applied    bool // whether the failed step is carried out all the same
}

var errStore = errors.New("the store fails")

func (m *model) start(i int) {
	m.starts++
	n := &modelNode{m: m, id: fmt.Sprintf("NODE%06d", m.starts), deliveries: idempotency.NewDeliveries[int](window)}
	n.keys = idempotency.NewKeys(idempotency.Options{
		Store: n, Window: window,
		NewID: func() idempotency.ID { n.last++; return idempotency.ID{Node: n.id, Number: n.last} },
		Alive: func(id string) bool {
			for _, other := range m.nodes {
				if other.id == id {
					return !other.crashed
				}
			}
			return false
		},
	})
	m.nodes[i] = n
}

// crashes reports whether the node crashes before the next step.
func (n *modelNode) crashes() bool {
	n.crashAfter--
	n.crashed = n.crashed || n.crashAfter == 0
	return n.crashed
}

// fails reports whether a step in the store fails, and whether it is carried out.
func (n *modelNode) fails() (failed, applied bool) {
	if n.crashes() {
		return true, false
	}
	n.failStep--
	return n.failStep == 0, n.failStep != 0 || n.applied
}

func (n *modelNode) Claim(ctx context.Context, key idempotency.Key, c idempotency.Claim) (idempotency.Claim, bool, error) {
	failed, applied := n.fails()
	if !applied {
		return idempotency.Claim{}, false, errStore
	}
	there, found, err := n.m.store.Claim(ctx, key, c)
	if failed {
		return idempotency.Claim{}, false, errStore
	}
	return there, found, err
}

func (n *modelNode) Record(ctx context.Context, key idempotency.Key, c idempotency.Claim) error {
	failed, applied := n.fails()
	if !applied {
		return errStore
	}
	err := n.m.store.Record(ctx, key, c)
	if failed {
		return errStore
	}
	return err
}

// fingerprintOf returns the fingerprint of a version of a key's message.
func fingerprintOf(key, version int) idempotency.Fingerprint {
	d := idempotency.NewDigest()
	d.Text(fmt.Sprint(key, version))
	return d.Sum()
}

// call has a node carry out a key, as a publisher does. It reports whether the publisher got a complete
// result.
func (m *model) call(n *modelNode, key int) bool {
	complete := false
	name := idempotency.Key{Namespace: "/", Text: fmt.Sprint(key)}
	result, duplicate, err := n.keys.Do(m.t.Context(), "web", name, fingerprintOf(key, 0), func(_ context.Context, id idempotency.ID) ([]byte, bool) {
		if before := m.claimed[key]; before != nil && *before != id {
			m.t.Errorf("key %d has the identities %v and %v", key, *before, id)
		}
		m.claimed[key] = &id
		return n.send(key, id)
	})
	switch {
	case n.crashed: // the publisher gets nothing
	case err != nil:
		if !errors.Is(err, idempotency.ErrUnavailable) {
			m.t.Errorf("key %d: %v", key, err)
		}
	default:
		complete = string(result) == "complete"
		if m.claimed[key] == nil {
			m.t.Errorf("key %d has a result, duplicate %t, and was never sent", key, duplicate)
		}
	}
	return complete
}

// send delivers a message to all nodes in some order.
func (n *modelNode) send(key int, id idempotency.ID) ([]byte, bool) {
	complete := true
	for _, i := range n.m.random.Perm(len(n.m.nodes)) {
		to := n.m.nodes[i]
		switch {
		case n.crashes():
			return []byte("crashed"), false
		case to.crashed:
		case to.away && to != n:
			complete = false
		default:
			to.deliveries.Once(id, 1, func() int { to.delivered[key]++; return 0 })
		}
	}
	if !complete {
		return []byte("incomplete"), false
	}
	for _, to := range n.m.nodes {
		if !to.crashed && to.delivered[key] != 1 {
			n.m.t.Errorf("key %d is complete, and %s has delivered it %d times", key, to.id, to.delivered[key])
		}
	}
	return []byte("complete"), true
}

// step has something happen.
func (m *model) step() {
	i := m.random.IntN(len(m.nodes))
	n := m.nodes[i]
	key := m.random.IntN(modelKeys)
	switch what := m.random.IntN(10); {
	case n.crashed:
		m.start(i)
	case what == 0:
		n.away = !n.away
	case what == 1 && m.claimed[key] != nil:
		name := idempotency.Key{Namespace: "/", Text: fmt.Sprint(key)}
		n.crashAfter, n.failStep = 0, 0
		_, _, err := n.keys.Do(m.t.Context(), "web", name, fingerprintOf(key, 1), func(context.Context, idempotency.ID) ([]byte, bool) {
			m.t.Errorf("another message of key %d is sent", key)
			return nil, true
		})
		if !errors.Is(err, idempotency.ErrMismatch) {
			m.t.Errorf("another message of key %d: %v", key, err)
		}
	default:
		n.crashAfter, n.failStep, n.applied = 0, 0, m.random.IntN(2) == 0
		if what > 6 {
			n.crashAfter = 1 + m.random.IntN(6)
		} else if what > 4 {
			n.failStep = 1 + m.random.IntN(2)
		}
		m.call(n, key)
	}
	m.check()
}

// settle has a publisher retry every key until it has a complete result, while nothing fails.
func (m *model) settle() {
	for i, n := range m.nodes {
		if n.crashed {
			m.start(i)
		}
		m.nodes[i].away, m.nodes[i].crashAfter, m.nodes[i].failStep = false, 0, 0
	}
	begin := time.Now()
	for key := range modelKeys {
		if !m.call(m.nodes[m.random.IntN(len(m.nodes))], key) {
			m.t.Errorf("key %d isn't complete", key)
		}
	}
	m.check()
	if took := time.Since(begin); took > 20*time.Second {
		m.t.Errorf("it took %v", took)
	}
}

func (m *model) check() {
	for _, n := range m.nodes {
		for key, times := range n.delivered {
			if times > 1 {
				m.t.Errorf("%s has delivered key %d %d times", n.id, key, times)
			}
		}
	}
}
