package forward_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/forward"
)

// network connects the nodes within a bubble. Messages arrive in order and late, or are lost.
type network struct {
	t   *testing.T
	lag time.Duration

	mu     sync.Mutex
	random *rand.Rand
	loss   float64
	down   bool
	mute   cluster.NodeID // a node whose messages are lost
	nodes  map[cluster.NodeID]*node
	known  map[cluster.NodeID]bool // those that the others know
	sent   int
}

// node is a hub with its forwarder.
type node struct {
	*eventhub.Hub
	id        cluster.NodeID
	net       *network
	forwarder *forward.Forwarder
	inbox     chan mail
	stop      context.CancelFunc
	ended     chan struct{}
}

type mail struct {
	from    cluster.NodeID
	payload []byte
	due     time.Time
}

func newNetwork(t *testing.T, seed uint64, lag time.Duration, loss float64) *network {
	return &network{t: t, lag: lag, loss: loss, random: rand.New(rand.NewPCG(seed, 1)), nodes: make(map[cluster.NodeID]*node), known: make(map[cluster.NodeID]bool)}
}

// add starts a node. It and the others know of each other immediately.
func (net *network) add(id cluster.NodeID, o eventhub.Options) *node {
	n := &node{Hub: eventhub.New(o), id: id, net: net, inbox: make(chan mail, 1<<16), ended: make(chan struct{})}
	n.forwarder = forward.New(forward.Options{
		Self: id, Hub: n.Hub, Nodes: n.others, Send: n.send, Reachable: net.up, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(context.Background())
	n.stop = sync.OnceFunc(func() { stop(); <-n.ended })
	var running sync.WaitGroup
	running.Go(func() { n.forwarder.Run(ctx) })
	running.Go(func() { n.receive(ctx) })
	go func() { running.Wait(); close(n.ended) }()
	net.mu.Lock()
	var others []*node
	for _, other := range net.nodes {
		others = append(others, other)
	}
	net.nodes[id], net.known[id] = n, true
	net.mu.Unlock()
	for _, other := range others {
		other.forwarder.Joined(id)
		n.forwarder.Joined(other.id)
	}
	net.t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.Close(now)
		n.stop()
	})
	return n
}

func (net *network) up() bool {
	net.mu.Lock()
	defer net.mu.Unlock()
	return !net.down
}

func (net *network) set(loss float64, down bool) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.loss, net.down = loss, down
}

func (net *network) silence(id cluster.NodeID) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.mute = id
}

// cut takes a node away. The others notice after four seconds.
func (net *network) cut(n *node) {
	net.mu.Lock()
	delete(net.nodes, n.id)
	net.mu.Unlock()
	<-time.After(4 * time.Second)
	net.mu.Lock()
	delete(net.known, n.id)
	net.mu.Unlock()
	for _, other := range net.nodes {
		other.forwarder.Gone(n.id)
	}
}

func (n *node) others() (ids []cluster.NodeID) {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	for id := range n.net.known {
		if id != n.id {
			ids = append(ids, id)
		}
	}
	return ids
}

func (n *node) send(to cluster.NodeID, t *wire.EventTraffic) error {
	payload, err := proto.Marshal(t)
	if err != nil {
		n.net.t.Error(err)
	}
	net := n.net
	net.mu.Lock()
	defer net.mu.Unlock()
	net.sent++
	if net.down {
		return errors.New("down")
	}
	other, ok := net.nodes[to]
	if !ok || net.nodes[n.id] != n || n.id == net.mute || net.random.Float64() < net.loss {
		return nil
	}
	other.inbox <- mail{n.id, payload, time.Now().Add(net.lag)}
	return nil
}

func (n *node) receive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-n.inbox:
			<-time.After(time.Until(m.due))
			var t wire.EventTraffic
			if err := proto.Unmarshal(m.payload, &t); err != nil {
				n.net.t.Error(err)
			}
			n.forwarder.Receive(m.from, &t)
		}
	}
}

func (n *node) subscribe(start eventhub.SubscribeOptions) *eventhub.Subscription {
	n.net.t.Helper()
	s, err := n.Subscribe(start)
	if err != nil {
		n.net.t.Fatal(err)
	}
	return s
}

// message is an event that a client sends.
func message(socket, name string) *eventhub.Event {
	return &eventhub.Event{
		Kind: eventhub.Message, Namespace: "/", Socket: &eventhub.Socket{ID: socket, Namespace: "/"}, Name: name, Args: json.RawMessage(`[1]`),
	}
}

// take returns all deliveries that can be taken.
func take(t *testing.T, s *eventhub.Subscription) []eventhub.Delivery {
	t.Helper()
	into := make([]eventhub.Delivery, 10_000)
	n, err := s.Take(into)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	return into[:n]
}

// names lists deliveries: the socket and the event's name, with "?" if it needs an answer and "!" if
// it is redelivered.
func names(deliveries []eventhub.Delivery) (all []string) {
	for _, d := range deliveries {
		name := d.Event.Socket.ID + "." + d.Event.Name
		if d.NeedsAck || d.NeedsDecision {
			name += "?"
		}
		if d.Redelivered {
			name += "!"
		}
		all = append(all, name)
	}
	return all
}

func wantTaken(t *testing.T, s *eventhub.Subscription, want string) []eventhub.Delivery {
	t.Helper()
	got := take(t, s)
	if fmt.Sprint(names(got)) != "["+want+"]" {
		t.Errorf("taken: %v, want [%s]", names(got), want)
	}
	return got
}

// pass lets time pass, and all goroutines do what is due.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// replies collects the replies to questions, by the question's name.
type replies struct {
	mu  sync.Mutex
	all map[string][]string
}

func (r *replies) hook(name string) func(eventhub.Reply) {
	return func(reply eventhub.Reply) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.all == nil {
			r.all = make(map[string][]string)
		}
		text := string(reply.Args)
		if reply.Error != nil {
			text = "!" + reply.Error.Code
		}
		r.all[name] = append(r.all[name], text)
	}
}

func (r *replies) want(t *testing.T, name string, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if fmt.Sprint(r.all[name]) != fmt.Sprint(want) {
		t.Errorf("%s was answered %q, want %q", name, r.all[name], want)
	}
}
