package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// crashPoint is where a node crashes while it carries out an emit with a key: at a step, before it is
// carried out or right after.
type crashPoint struct {
	step  string // claim, publish or record
	after bool
}

// crashing is the bus of a node that crashes at a point: from then on nothing comes from the node, and
// nothing reaches it.
type crashing struct {
	cluster.Bus
	point crashPoint

	mu      sync.Mutex
	armed   bool
	crashed bool
}

func (c *crashing) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
}

// do carries out a step, unless the node has crashed or does so now.
func (c *crashing) do(step string, carryOut func() error) error {
	c.mu.Lock()
	here := c.armed && !c.crashed && step == c.point.step
	crashed := c.crashed || here && !c.point.after
	c.crashed = c.crashed || here
	c.mu.Unlock()
	if crashed {
		return cluster.ErrUnavailable
	}
	err := carryOut()
	if here {
		return cluster.ErrUnavailable
	}
	return err
}

func (c *crashing) Run(ctx context.Context, r cluster.Receiver) error {
	return c.Bus.Run(ctx, crashingReceiver{r, c})
}

func (c *crashing) SetNew(ctx context.Context, name string, value []byte, ttl time.Duration) (existing []byte, err error) {
	err = c.do("claim", func() error {
		existing, err = c.Bus.SetNew(ctx, name, value, ttl)
		return err
	})
	return existing, err
}

func (c *crashing) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	return c.do("record", func() error { return c.Bus.Set(ctx, name, value, ttl) })
}

func (c *crashing) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	return c.do("", func() error { return c.Bus.Put(ctx, table, key, value, ttl) })
}

func (c *crashing) Publish(ctx context.Context, batch []cluster.Message, peers []string) (receipts []cluster.Receipt, err error) {
	step := ""
	for _, m := range batch {
		if strings.HasPrefix(m.Channel, topics) {
			step = "publish"
		}
	}
	receipts = make([]cluster.Receipt, len(batch))
	err = c.do(step, func() error {
		receipts, err = c.Bus.Publish(ctx, batch, peers)
		return err
	})
	return receipts, err
}

// topics is how the channels of topics begin in these tests.
const topics = "sala:topic:"

type crashingReceiver struct {
	cluster.Receiver
	bus *crashing
}

func (r crashingReceiver) Received(m cluster.Message) {
	_ = r.bus.do("", func() error { r.Receiver.Received(m); return nil }) // a crashed node gets nothing
}

// TestCrashes: wherever a node crashes that carries out an emit with a key, the publisher repeats it at
// another node, and each client of the others gets it once. The same is true if it repeats it again.
func TestCrashes(t *testing.T) {
	for _, step := range []string{"claim", "publish", "record"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after %t", step, after), func(t *testing.T) {
				t.Parallel()
				crash(t, crashPoint{step, after})
			})
		}
	}
}

func crash(t *testing.T, point crashPoint) {
	server := clustertest.Start(t)
	faulty := &crashing{Bus: redisBus(t, server.URL()), point: point}
	nodes := startNodes(t, 3, broker.Options{IdempotencyWindow: time.Minute}, func(i int) cluster.Bus {
		if i == 0 {
			return faulty
		}
		return redisBus(t, server.URL())
	})
	clients := make([]*brokertest.Client, len(nodes))
	for i, node := range nodes {
		clients[i] = join(t, node, fmt.Sprint("user", i))
	}
	eventually(t, "all clients are reached", func() bool {
		report, err := nodes[1].Emit(t.Context(), everyoneInLobby, broker.Message{Event: "ready"})
		return err == nil && report.Matched == len(nodes) && !report.Partial
	})
	faulty.arm()
	m := keyedMessage("a", 1)
	if report, err := nodes[0].Emit(t.Context(), everyoneInLobby, m); point.step == "claim" {
		wantReason(t, err, broker.CodeUnavailable, broker.ReasonKeyNotClaimed)
	} else if err != nil {
		t.Errorf("the first call: %+v, %v", report, err) // nobody gets this
	}
	// Until the node is given up, it is missing in the report.
	var first broker.Report
	eventually(t, "the repeat is complete", func() bool {
		report, err := nodes[1].Emit(t.Context(), everyoneInLobby, m)
		first = report
		return err == nil && !report.Partial
	})
	again, err := nodes[2].Emit(t.Context(), everyoneInLobby, m)
	if err != nil || !again.Duplicate || again.Matched != first.Matched || again.Queued != first.Queued || again.Partial {
		t.Errorf("another repeat: %+v, %v; want %+v", again, err, first)
	}
	for i, c := range clients {
		times := 0
		for _, e := range c.Take() {
			if e.Name == m.Event {
				times++
			}
		}
		if times > 1 || times == 0 && i > 0 { // what the node does whose publisher has gone doesn't matter
			t.Errorf("client %d got it %d times", i, times)
		}
	}
}
