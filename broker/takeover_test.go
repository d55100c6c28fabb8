package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// traveller is a client of "/" with a session that returns at one node or another.
type traveller struct {
	t       *testing.T
	nodes   []*brokertest.Node
	token   string
	session *brokertest.Session
	client  *brokertest.Client
}

// travel connects a user at the first node.
func travel(t *testing.T, nodes []*brokertest.Node, user string) *traveller {
	t.Helper()
	a := &traveller{t: t, nodes: nodes, token: nodes[0].Token(user, brokertest.Everything), session: &brokertest.Session{}}
	a.client = nodes[0].ReturnTo(a.token, a.session)
	a.client.ExpectNothing() // so that the broker knows that the client knows of its session
	return a
}

// moveTo cuts the connection and returns at a node, as the same socket.
func (a *traveller) moveTo(node int) {
	a.t.Helper()
	a.client.Close()
	id := a.session.ID
	a.client = a.nodes[node].ReturnTo(a.token, a.session)
	if !a.session.Recovered || a.session.ID != id {
		a.t.Fatalf("the client isn't recovered at node %d", node)
	}
}

// leave cuts the connection and waits until the node that has the socket has noticed.
func (a *traveller) leave() {
	a.t.Helper()
	a.client.Close()
	eventually(a.t, "the client is away", func() bool {
		info, err := a.nodes[0].GetSocket(a.t.Context(), a.session.ID)
		return err == nil && info.Away
	})
}

// to is a target of the client by its socket's id.
func (a *traveller) to() broker.Target { return broker.Target{Sockets: []string{a.session.ID}} }

// laned is a bus with several lanes. Each delays its messages by a time of its own, which changes.
type laned struct {
	cluster.Bus
	lanes int
	late  time.Duration // at most
}

func (l *laned) Lane(channel string) int { return cluster.PartitionOf(channel) % l.lanes }

func (l *laned) Run(ctx context.Context, r cluster.Receiver) error {
	late := &lateReceiver{Receiver: r, bus: l, lanes: make([]chan cluster.Message, l.lanes)}
	var passing sync.WaitGroup
	for i := range late.lanes {
		late.lanes[i] = make(chan cluster.Message, 100_000)
		passing.Go(func() { late.pass(ctx, late.lanes[i]) })
	}
	defer passing.Wait()
	return l.Bus.Run(ctx, late)
}

type lateReceiver struct {
	cluster.Receiver
	bus   *laned
	lanes []chan cluster.Message
	mu    sync.Mutex // held while the receiver is called
}

func (l *lateReceiver) Received(m cluster.Message) { l.lanes[l.bus.Lane(m.Channel)] <- m }

func (l *lateReceiver) StateChanged(s cluster.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Receiver.StateChanged(s)
}

func (l *lateReceiver) pass(ctx context.Context, lane chan cluster.Message) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-lane:
			<-time.After(rand.N(l.bus.late)) // the delay of a message
			l.mu.Lock()
			l.Receiver.Received(m)
			for range len(lane) { // they come together
				l.Receiver.Received(<-lane)
			}
			l.mu.Unlock()
		}
	}
}

// TestMovesUnderEmits has clients return at any node, a thousand times together, while
// all nodes emit to rooms, users and everyone. Each client gets each message once, over buses
// with one server and with several.
func TestMovesUnderEmits(t *testing.T) {
	for name, lanes := range map[string]int{"one lane": 1, "several lanes": 5} {
		t.Run(name, func(t *testing.T) {
			exchange := clustertest.NewExchange()
			o := broker.Options{Recovery: &broker.RecoveryOptions{MaxMessages: 100_000, MaxBytes: 64 << 20}}
			nodes := startNodes(t, 3, o, func(int) cluster.Bus {
				return &laned{Bus: exchange.Bus(), lanes: lanes, late: 3 * time.Millisecond}
			})
			storm := &storm{t: t, nodes: nodes, moves: 1000}
			for i := range 10 {
				storm.add(i)
			}
			storm.run()
		})
	}
}

// storm is clients that move, and emits to all of them.
type storm struct {
	t       *testing.T
	nodes   []*brokertest.Node
	clients []*stormy
	moves   int // of all clients together

	moved atomic.Int64
	sent  atomic.Int64 // to each client
	over  atomic.Bool  // no more is sent
	how   sync.Map     // how each message was sent, by its number
}

// stormy is a client in a storm, and what it has got.
type stormy struct {
	*traveller
	got map[string]bool
}

func (s *storm) add(i int) {
	a := travel(s.t, s.nodes, fmt.Sprint("user", i))
	rooms := []string{"all", fmt.Sprint("room", i), fmt.Sprint("other", i)}
	if _, err := s.nodes[0].Broker.Join(s.t.Context(), a.to(), rooms); err != nil {
		s.t.Fatal(err)
	}
	s.clients = append(s.clients, &stormy{a, make(map[string]bool)})
}

func (s *storm) run() {
	var emitting, moving, reading sync.WaitGroup
	for _, node := range s.nodes {
		emitting.Go(func() {
			for !s.over.Load() {
				s.emit(node)
			}
		})
	}
	for _, a := range s.clients {
		moving.Go(func() { s.move(a) })
	}
	moving.Wait()
	s.over.Store(true)
	emitting.Wait()
	for _, a := range s.clients {
		reading.Go(func() { s.readRest(a) })
	}
	reading.Wait()
}

// partly is how a message was sent whose sender knows that some nodes may lack it.
const partly = "partly"

// emit sends a message to each client, which gets the same number from all.
func (s *storm) emit(node *brokertest.Node) {
	n := s.sent.Add(1)
	m := broker.Message{Event: "e", Args: fmt.Appendf(nil, "[%d]", n), Unreported: rand.N(2) == 0}
	var targets []broker.Target
	way := rand.N(5)
	s.how.Store(n, fmt.Sprintf("way %d, unreported %v, from %s", way, m.Unreported, node.URL))
	for i := range s.clients {
		switch way {
		case 0:
			targets = append(targets, broker.Target{Users: []string{fmt.Sprint("user", i)}})
		case 1:
			targets = append(targets, broker.Target{Rooms: []string{fmt.Sprint("room", i)}})
		case 2:
			targets = append(targets, broker.Target{Rooms: []string{fmt.Sprint("room", i), fmt.Sprint("other", i)}})
		}
	}
	switch way {
	case 3:
		targets = []broker.Target{{Everyone: true}}
	case 4:
		targets = []broker.Target{{Rooms: []string{"all"}}}
	}
	for _, target := range targets {
		r, err := node.Emit(s.t.Context(), target, m)
		if err != nil {
			s.t.Errorf("Emit: %v", err)
		}
		if r.Partial && !m.Unreported {
			s.how.Store(n, partly)
		}
	}
}

// move moves a client until all have moved often enough.
func (s *storm) move(a *stormy) {
	for s.moved.Add(1) <= int64(s.moves) {
		for range rand.N(5) {
			s.read(a)
		}
		if rand.N(3) > 0 {
			a.client.Close()
		}
		a.client = s.nodes[rand.N(len(s.nodes))].ReturnTo(a.token, a.session)
		if !a.session.Recovered {
			s.t.Errorf("a client isn't recovered: %v", a.client.Next())
			return
		}
	}
}

// readRest reads until the client has everything that it must have.
func (s *storm) readRest(a *stormy) {
	for n := range s.sent.Load() {
		how, _ := s.how.Load(n + 1)
		for ok := true; ok && how != partly && !a.got[fmt.Sprintf("[%d]", n+1)]; {
			if ok = s.read(a); !ok {
				s.t.Errorf("%d is missing: %s", n+1, how)
				return
			}
		}
	}
}

// read reads an event. It returns false if none comes.
func (s *storm) read(a *stormy) bool {
	e, ok := a.client.TryNext()
	switch {
	case !ok:
	case e.Name != "e":
		s.t.Errorf("got %s %s", e.Name, e.Args)
	case a.got[e.Args]:
		var n int64
		_, _ = fmt.Sscanf(e.Args, "[%d]", &n)
		how, _ := s.how.Load(n)
		s.t.Errorf("%s came again: %s", e.Args, how)
	default:
		a.got[e.Args] = true
	}
	return ok
}

// TestSocketsMove has a client return at each node, and looks at what it takes along.
func TestSocketsMove(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{}})
	backend := serve(t, nodes[2], broker.SubscribeOptions{Observe: true}, ignore)
	awaitSubscription(t, nodes, eventhub.Connect)
	ana := travel(t, nodes, "ana")
	if _, err := nodes[1].Broker.Join(t.Context(), ana.to(), []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[1].Update(t.Context(), ana.to(), []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		at := (i + 1) % 3
		ana.leave()
		if _, err := nodes[i%3].Leave(t.Context(), ana.to(), []string{"b"}); err != nil {
			t.Fatal(err)
		}
		for n, target := range []broker.Target{ana.to(), {Rooms: []string{"a"}}, {Users: []string{"ana"}}} {
			m := broker.Message{Event: "e", Args: fmt.Appendf(nil, "[%d]", n)}
			if report := emit(t, nodes[(i+n)%3], target, m); report.Kept != 1 || report.Matched != 1 {
				t.Errorf("away, the report on %d is %+v", n, report)
			}
		}
		ana.moveTo(at)
		for n := range 3 {
			ana.client.Expect("e", fmt.Sprintf("[%d]", n))
		}
		ana.client.ExpectNothing()
		here := nodes[at].Join("bystander") // whose id names its node
		for _, node := range nodes {
			info, err := node.GetSocket(t.Context(), ana.session.ID)
			if err != nil || info.Node != string(cluster.OwnerOf(here.ID)) || info.Away || string(info.Data) != `{"n":1}` {
				t.Errorf("the socket is %+v, %v", info, err)
			}
			list, err := node.ListSockets(t.Context(), broker.SocketQuery{Room: "a"})
			if err != nil || len(list.Sockets) != 1 || list.Partial {
				t.Errorf("the list is %+v, %v", list, err)
			}
			if _, err := node.GetRoom(t.Context(), "/", "b"); err == nil {
				t.Error("the socket is still in b")
			}
			m := broker.Message{Event: "live", Unreported: true}
			if _, err := node.Emit(t.Context(), ana.to(), m); err != nil {
				t.Error(err)
			}
			ana.client.Expect("live", "[]")
		}
	}
	if _, err := nodes[1].Disconnect(t.Context(), ana.to(), "enough"); err != nil {
		t.Fatal(err)
	}
	ana.client.Expect("sala:disconnect", `[{"code":"DISCONNECTED","reason":"enough"}]`)
	ana.client.ExpectDisconnect()
	count := func(kind eventhub.Kind) int { return len(of("ana", backend.has(kind))) }
	eventually(t, "the socket's end is published", func() bool { return count(eventhub.Disconnect) > 0 })
	for kind, want := range map[eventhub.Kind]int{eventhub.Connect: 1, eventhub.Away: 6, eventhub.Resumed: 6, eventhub.Disconnect: 1} {
		if got := count(kind); got != want {
			t.Errorf("%s was published %d times, want %d", kind, got, want)
		}
	}
}

// TestJoinReachesASocketThatHasJustMoved calls the node that has handed a socket over with a join that
// the new node has carried out before it had the socket.
func TestJoinReachesASocketThatHasJustMoved(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Recovery: &broker.RecoveryOptions{}})
	ana := travel(t, nodes, "ana")
	ana.moveTo(1)
	if partial := broker.ApplyJoin(nodes[0].Broker, "ana", "late"); !partial {
		t.Error("the answer doesn't say that the socket isn't counted")
	}
	if partial := broker.ApplyJoin(nodes[0].Broker, "ben", "late"); partial {
		t.Error("the answer for another user says that a socket isn't counted")
	}
	eventually(t, "the socket is in the room", func() bool {
		info, err := nodes[1].GetSocket(t.Context(), ana.session.ID)
		return err == nil && len(info.Rooms) == 1 && info.Rooms[0] == "late"
	})
}

// detained is a bus that keeps messages with the event "late" back until it is told to release them.
type detained struct {
	cluster.Bus
	mu       sync.Mutex
	to       cluster.Receiver
	late     []cluster.Message
	released bool
}

func (d *detained) Run(ctx context.Context, r cluster.Receiver) error {
	return d.Bus.Run(ctx, &detainedReceiver{r, d})
}

type detainedReceiver struct {
	cluster.Receiver
	bus *detained
}

func (r *detainedReceiver) Received(m cluster.Message) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	r.bus.to = r.Receiver
	if !r.bus.released && bytes.Contains(m.Payload, []byte("late")) {
		r.bus.late = append(r.bus.late, m)
		return
	}
	r.Receiver.Received(m)
}

// release lets through what was kept back, and returns how much that was.
func (d *detained) release() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.released = true
	for _, m := range d.late {
		d.to.Received(m)
	}
	return len(d.late)
}

// TestOffsetOfAnEarlierSession has the last event of an earlier session reach another node late,
// where its client has a new session. The client still names that event when it returns, as stock
// clients do until they get another one. It gets everything that has come to the new session.
func TestOffsetOfAnEarlierSession(t *testing.T) {
	for name, at := range map[string]int{"where it began": 1, "at a third node": 2} {
		t.Run(name, func(t *testing.T) {
			exchange, buses := clustertest.NewExchange(), make([]*detained, 3)
			nodes := startNodes(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{}}, func(i int) cluster.Bus {
				buses[i] = &detained{Bus: exchange.Bus()}
				return buses[i]
			})
			bob := nodes[at].Join("bob") // so that the node gets what everyone gets
			ana := travel(t, nodes, "ana")
			emit(t, nodes[0], everyoneIn, broker.Message{Event: "late", Unreported: true})
			ana.client.Expect("late", "[]")
			ana.client.Send("41")
			ended := ana.session.ID
			// Otherwise the client may return before the node has read that, with what is kept back.
			eventually(t, "the session has ended", func() bool {
				_, err := nodes[0].GetSocket(t.Context(), ended)
				return isCode(err, broker.CodeNotFound)
			})
			ana.client = nodes[1].ReturnTo(ana.token, ana.session)
			ana.client.Expect("sala:session", `[{"recovered":false,"code":"UNKNOWN"}]`)
			if ana.session.ID == ended {
				t.Fatal("the session goes on")
			}
			ana.client.ExpectNothing()
			if at != 1 {
				ana.moveTo(at)
				ana.client.ExpectNothing()
			}
			ana.leave()
			emit(t, nodes[at], ana.to(), broker.Message{Event: "e", Args: []byte("[1]")})
			if n := buses[at].release(); n != 1 {
				t.Fatalf("%d messages were late", n)
			}
			bob.Expect("late", "[]")
			emit(t, nodes[at], ana.to(), broker.Message{Event: "e", Args: []byte("[2]")})
			ana.moveTo(at)
			ana.client.Expect("e", "[1]")
			ana.client.Expect("e", "[2]")
			ana.client.ExpectNothing()
		})
	}
}

// TestHandOverWaitsForMessages has a node hand a socket over while a message is on its way that has
// gone to other nodes but not yet to the sockets of this one.
func TestHandOverWaitsForMessages(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Recovery: &broker.RecoveryOptions{}})
	ana := travel(t, nodes, "ana")
	ana.leave()
	end := broker.BeginSending(nodes[0].Broker)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if broker.HandOver(impatient, nodes[0].Broker, ana.session.ID) {
		t.Error("the socket has gone before the message")
	}
	end()
	if !broker.HandOver(t.Context(), nodes[0].Broker, ana.session.ID) {
		t.Error("the socket doesn't go")
	}
}

// TestLostWithTheNodeThatHadIt kills the node to which a socket has moved. Its client
// learns that, also from the node where the socket began.
func TestLostWithTheNodeThatHadIt(t *testing.T) {
	t.Parallel()
	nodes, buses := startKillable(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{}})
	for at, user := range map[int]string{0: "ana", 2: "eva"} {
		a := travel(t, nodes, user)
		a.moveTo(1)
		a.client.ExpectNothing()
		defer func() {
			id := a.session.ID
			a.client.Close()
			a.client = nodes[at].ReturnTo(a.token, a.session)
			if a.session.Recovered || a.session.ID == id {
				t.Errorf("%s is recovered", user)
			}
			a.client.Expect("sala:session", `[{"recovered":false,"code":"NODE_LOST"}]`)
		}()
	}
	buses[1].dead.Store(true)
	for _, node := range []*brokertest.Node{nodes[0], nodes[2]} {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
			list, err := node.ListNodes(t.Context())
			if err == nil && len(list.Nodes) == 2 {
				break
			}
		}
	}
}

// TestFoundAfterItsNodeIsBack cuts off the node to which a socket has moved until the others take it
// for lost. When it is back, calls that name the socket find it, at every node.
func TestFoundAfterItsNodeIsBack(t *testing.T) {
	t.Parallel()
	nodes, buses := startKillable(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{}})
	ana := travel(t, nodes, "ana")
	ana.moveTo(1)
	buses[1].dead.Store(true)
	awaitNodeCount(t, nodes[2], 2)
	buses[1].dead.Store(false)
	for _, node := range nodes {
		awaitNodeCount(t, node, 3)
		awaitFound(t, node, ana.to())
	}
}

// TestReachedWhileItsHomeEnds has the node where a socket began end while a message is on its way
// that names the socket. Another node has the socket, and nobody waits for a report.
func TestReachedWhileItsHomeEnds(t *testing.T) {
	t.Parallel()
	nodes, buses := startKillable(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{}})
	ana := travel(t, nodes, "ana")
	ana.moveTo(1)
	home := cluster.OwnerOf(ana.session.ID)
	if _, err := nodes[2].Drain(t.Context(), string(home)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the others know that it drains", func() bool {
		list, err := nodes[2].ListNodes(t.Context())
		return err == nil && slices.ContainsFunc(list.Nodes, func(n broker.NodeInfo) bool {
			return n.ID == string(home) && n.State == broker.NodeDraining
		})
	})
	buses[0].dead.Store(true)
	emit(t, nodes[2], ana.to(), broker.Message{Event: "e", Args: json.RawMessage(`[1]`), Unreported: true})
	ana.client.Expect("e", "[1]")
}

// TestHomeLearnsWhatItMissed has a socket move while the node where it began is cut off. Once that
// is back, it doesn't need the node that had the socket before.
func TestHomeLearnsWhatItMissed(t *testing.T) {
	t.Parallel()
	nodes, buses := startKillable(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{}})
	ana := travel(t, nodes, "ana")
	ana.moveTo(1)
	buses[0].dead.Store(true)
	awaitNodeCount(t, nodes[1], 2)
	awaitNodeCount(t, nodes[2], 2)
	ana.moveTo(2)
	buses[0].dead.Store(false)
	awaitNodeCount(t, nodes[0], 3)
	awaitNodeCount(t, nodes[2], 3)
	buses[1].dead.Store(true)
	awaitNodeCount(t, nodes[0], 2)
	awaitFound(t, nodes[0], ana.to())
}

// awaitNodeCount waits until a node knows so many, itself included.
func awaitNodeCount(t *testing.T, node *brokertest.Node, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		list, err := node.ListNodes(t.Context())
		if err == nil && len(list.Nodes) == n && !list.Partial {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the nodes are not %d: %+v, %v", n, list, err)
		}
	}
}

// awaitFound waits until an emit from a node reaches the socket that the target names.
func awaitFound(t *testing.T, node *brokertest.Node, target broker.Target) {
	t.Helper()
	eventually(t, "an emit reaches the socket", func() bool {
		report, err := node.Emit(t.Context(), target, broker.Message{Event: "e", Volatile: true})
		return err == nil && report.Matched == 1 && !report.Partial
	})
}

// TestLateRequestToReturnElsewhere has a request to return arrive at another node after its
// client has given it up. The client stays connected. It has to answer a ping to move.
func TestLateRequestToReturnElsewhere(t *testing.T) { synctest.Test(t, lateRequestToReturnElsewhere) }

func lateRequestToReturnElsewhere(t *testing.T) {
	nodes, _ := brokertest.StartClusterInMemory(t, 2, broker.Options{Recovery: &broker.RecoveryOptions{}, PingTimeout: 200 * time.Millisecond})
	ana := travel(t, nodes, "ana")
	for at := range 2 {
		other := nodes[1-at]
		late := other.Dial(nil)
		late.Mute = true
		late.Send(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, ana.session.PID))
		late.ExpectEnd() // it doesn't answer
		if report := emit(t, other, ana.to(), broker.Message{Event: "e"}); report.Queued != 1 {
			t.Errorf("the report is %+v", report)
		}
		ana.client.Expect("e", "[]")
		ana.client.ExpectNothing()
		old := ana.client
		ana.client = other.ReturnTo(ana.token, ana.session)
		if !ana.session.Recovered {
			t.Error("the client isn't recovered")
		}
		ana.client.ExpectNothing()
		old.ExpectEnd()
	}
}

// TestEndedElsewhere has sockets end at a node to which they have moved, while their clients
// are away. The clients return at a third node and learn why.
func TestEndedElsewhere(t *testing.T) {
	ends := map[string]func(*testing.T, *traveller){
		"EXPIRED": func(*testing.T, *traveller) {},
		"DISCONNECTED": func(t *testing.T, a *traveller) {
			if _, err := a.nodes[2].Disconnect(t.Context(), a.to(), "enough"); err != nil {
				t.Error(err)
			}
		},
	}
	for code, end := range ends {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { endedElsewhere(t, code, end) })
		})
	}
}

func endedElsewhere(t *testing.T, code string, end func(*testing.T, *traveller)) {
	t.Helper()
	nodes, _ := brokertest.StartClusterInMemory(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{Window: 100 * time.Millisecond}})
	a := travel(t, nodes, code)
	a.moveTo(1)
	a.client.ExpectNothing()
	a.leave()
	end(t, a)
	eventually(t, "the socket has ended", func() bool {
		_, err := nodes[0].GetSocket(t.Context(), a.session.ID)
		return err != nil
	})
	c := nodes[2].Dial(nil)
	if answer := c.Recover("/", a.token, a.session, nil); code == "DISCONNECTED" {
		expectCode(t, "the return", answer, code)
		c = nodes[0].ReturnTo(a.token, a.session) // it is told once
		code = "UNKNOWN"
	}
	c.Expect("sala:session", fmt.Sprintf(`[{"recovered":false,"code":%q}]`, code))
}

// TestMovesWhileItProves has a session move to another node while its client proves at the
// first one that it uses its connection. It finds the session when it comes again.
func TestMovesWhileItProves(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Recovery: &broker.RecoveryOptions{}})
	ana := travel(t, nodes, "ana")
	there, here := nodes[1].Dial(nil), nodes[0].Dial(nil)
	for _, c := range []*brokertest.Client{there, here} {
		c.Send(fmt.Sprintf(`40{"token":%q,"recover":true,"pid":%q}`, ana.token, ana.session.PID))
		c.AwaitPing()
	}
	there.Pong()
	if got := there.Await("40"); !strings.Contains(got, ana.session.PID) {
		t.Fatalf("the return is answered with %s", got)
	}
	here.Pong()
	here.ExpectClose()
	ana.client = nodes[0].ReturnTo(ana.token, ana.session)
	if !ana.session.Recovered {
		t.Error("the client isn't recovered")
	}
}

// BenchmarkReturn compares what a client costs that connects afresh with one that
// returns at the same node and one whose session another node has.
func BenchmarkReturn(b *testing.B) {
	for name, hops := range map[string]int{"connect": -1, "return": 0, "take-over": 1} {
		b.Run(name, func(b *testing.B) {
			nodes, _ := brokertest.StartCluster(b, 2, broker.Options{Recovery: &broker.RecoveryOptions{}})
			token, session := nodes[0].Token("ana", brokertest.Everything), &brokertest.Session{}
			client := nodes[0].ReturnTo(token, session)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				client.Close()
				if hops < 0 {
					session = &brokertest.Session{}
				}
				client = nodes[i*max(hops, 0)%2].ReturnTo(token, session)
			}
		})
	}
}
