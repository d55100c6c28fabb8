package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/eventhub"
)

// backend is a subscription whose events are handled by a function, and what it
// has been handed.
type backend struct {
	*broker.Subscription
	t *testing.T

	mu   sync.Mutex
	seen []eventhub.Delivery
}

// handle answers a delivery, or doesn't.
type handle func(s *broker.Subscription, d eventhub.Delivery) error

func serve(t *testing.T, node *brokertest.Node, o broker.SubscribeOptions, do handle) *backend {
	t.Helper()
	o.Credits = 50_000
	sub, err := node.Subscribe(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{Subscription: sub, t: t}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.run(do)
	}()
	t.Cleanup(func() { sub.Close(); <-stopped })
	return b
}

func (b *backend) run(do handle) {
	var into [32]eventhub.Delivery
	for {
		n, err := b.Take(into[:])
		if err != nil {
			return
		}
		b.mu.Lock()
		b.seen = append(b.seen, into[:n]...)
		b.mu.Unlock()
		for _, d := range into[:n] {
			if err := do(b.Subscription, d); err != nil {
				b.t.Errorf("answer: %v", err)
			}
		}
		if n > 0 {
			continue
		}
		select {
		case <-b.Ready():
		case <-b.Done():
		}
	}
}

// has lists what was handed out of one kind: who and what, "?" if an answer is
// needed, "!" if it was redelivered, and the reason if there is one.
func (b *backend) has(kind eventhub.Kind) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, d := range b.seen {
		if d.Event.Kind != kind {
			continue
		}
		text := d.Event.Socket.User + " " + d.Event.Name + d.Event.Room + d.Event.Reason
		if d.NeedsAck || d.NeedsDecision {
			text += "?"
		}
		if d.Redelivered {
			text += "!"
		}
		all = append(all, text)
	}
	return all
}

func ignore(*broker.Subscription, eventhub.Delivery) error { return nil }

// echo answers with the arguments and attachments that came.
func echo(s *broker.Subscription, d eventhub.Delivery) error {
	if !d.NeedsAck {
		return nil
	}
	return s.Reply(d.ID, eventhub.Reply{Args: d.Event.Args, Attachments: d.Event.Attachments})
}

// named answers with a name.
func named(name string) handle {
	return func(s *broker.Subscription, d eventhub.Delivery) error {
		if !d.NeedsAck {
			return nil
		}
		return s.Reply(d.ID, eventhub.Reply{Args: json.RawMessage(`["` + name + `"]`)})
	}
}

var messages = []eventhub.Kind{eventhub.Message}

// handled waits until a node knows that somebody handles an event.
func handled(t *testing.T, c *brokertest.Client, event string) {
	t.Helper()
	eventually(t, event+" is handled", func() bool { return !strings.Contains(c.Call(event), "NO_HANDLER") })
}

func TestBackendsAnswerClientsOfAllNodes(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 3, broker.Options{})
	answersOfAll(t, nodes)
}

// The same with a bus of Redis.
func TestBackendsAnswerClientsOverRedis(t *testing.T) {
	server := clustertest.Start(t)
	nodes := startNodes(t, 3, broker.Options{}, func(int) cluster.Bus {
		bus, err := redis.New(redis.Options{URL: server.URL()})
		if err != nil {
			t.Fatal(err)
		}
		return bus
	})
	answersOfAll(t, nodes)
}

// startNodes runs a cluster whose buses the test makes.
func startNodes(t *testing.T, n int, o broker.Options, bus func(i int) cluster.Bus) []*brokertest.Node {
	t.Helper()
	return startNodesWith(t, brokertest.Start, n, o, bus)
}

func startNodesWith(t *testing.T, start func(testing.TB, broker.Options) *brokertest.Node, n int, o broker.Options, bus func(i int) cluster.Bus) []*brokertest.Node {
	t.Helper()
	nodes := make([]*brokertest.Node, n)
	for i := range nodes {
		each := o
		each.Cluster = &broker.ClusterOptions{Bus: bus(i)}
		nodes[i] = start(t, each)
	}
	for _, node := range nodes {
		eventually(t, "the nodes know each other", func() bool {
			list, err := node.ListNodes(t.Context())
			return err == nil && len(list.Nodes) == n && !list.Partial
		})
	}
	return nodes
}

func answersOfAll(t *testing.T, nodes []*brokertest.Node) {
	t.Helper()
	b := serve(t, nodes[2], broker.SubscribeOptions{Group: "g", Kinds: messages}, echo)
	observer := serve(t, nodes[1], broker.SubscribeOptions{Kinds: messages, Observe: true}, ignore)
	for _, node := range nodes[1:] { // until the others know of the subscriptions, as a call of Subscribe does
		if missing := node.AwaitSubscribed(t.Context()); missing.Partial {
			t.Fatalf("not subscribed at %v", missing.Missing)
		}
	}
	const each = 300
	var wanted []string
	for i, node := range nodes {
		user := fmt.Sprint("user", i)
		c := node.Join(user)
		handled(t, c, "ready")
		for _, args := range []string{`[]`, `[1.0]`, `["a",{"z":1,"a":9007199254740993},[null]]`} {
			var list []json.RawMessage
			var values []any
			_ = json.Unmarshal([]byte(args), &list)
			for _, v := range list {
				values = append(values, v)
			}
			if got := c.Call("args", values...); got != args {
				t.Errorf("%s: the ack is %s, want %s", user, got, args)
			}
		}
		answer, attachments := c.CallBinary("binary", []byte{0, 1, 255})
		if answer != `[{"_placeholder":true,"num":0}]` || len(attachments) != 1 || string(attachments[0]) != "\x00\x01\xff" {
			t.Errorf("%s: the ack is %s with %v", user, answer, attachments)
		}
		for n := range each {
			c.Emit(fmt.Sprint("n", n))
			wanted = append(wanted, fmt.Sprintf("%s n%d", user, n))
		}
		c.Call("done")
	}
	for who, sub := range map[string]*backend{"the backend": b, "the observer": observer} {
		numbered := func() (all []string) {
			for _, text := range sub.has(eventhub.Message) {
				if strings.Contains(text, " n") {
					all = append(all, text)
				}
			}
			return all
		}
		eventually(t, who+" hears everything", func() bool { return len(numbered()) >= len(wanted) })
		if got := numbered(); !slices.Equal(sorted(got), sorted(wanted)) || !slices.Equal(of("user0", got), of("user0", wanted)) ||
			!slices.Equal(of("user1", got), of("user1", wanted)) {
			t.Errorf("%s heard %d events, want %d, in order", who, len(got), len(wanted))
		}
	}
	if d := b.seen[0]; d.Event.Socket.Address == "" || d.Event.Socket.Transport != "websocket" || time.Since(d.Event.Socket.ConnectTime) > time.Minute ||
		time.Since(d.Event.Time) > time.Minute || d.Event.Namespace != "/" {
		t.Errorf("an event is %+v of %+v", d.Event, d.Event.Socket)
	}
}

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }

// of returns the entries of one user.
func of(user string, all []string) (some []string) {
	for _, text := range all {
		if strings.HasPrefix(text, user+" ") {
			some = append(some, text)
		}
	}
	return some
}

// Backends at the client's node come first; others get its events if there are none.
func TestLocalBackendsComeFirst(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{})
	o := broker.SubscribeOptions{Group: "g", Kinds: messages}
	serve(t, nodes[1], o, named("there"))
	early := nodes[0].Join("early")
	handled(t, early, "ready")
	here := serve(t, nodes[0], o, named("here"))
	late := nodes[0].Join("late")
	for range 5 {
		if got := early.Call("e"); got != `["there"]` {
			t.Errorf("who was there before is answered by %s", got)
		}
		if got := late.Call("e"); got != `["here"]` {
			t.Errorf("who came later is answered by %s", got)
		}
	}
	here.Close()
	if got := late.Call("e"); got != `["there"]` {
		t.Errorf("without a backend here it is answered by %s", got)
	}
}

func TestDecisionsOfOtherNodes(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Decisions: broker.DecisionOptions{Required: true}})
	serve(t, nodes[1], broker.SubscribeOptions{Group: "g", Kinds: []eventhub.Kind{eventhub.Connect}, Decide: true},
		func(s *broker.Subscription, d eventhub.Delivery) error {
			switch {
			case !d.NeedsDecision:
				return nil
			case d.Event.Socket.User == "bad":
				return s.Decide(d.ID, eventhub.Decision{Refusal: &eventhub.Failure{Code: "BANNED", Message: "go away"}})
			}
			return s.Decide(d.ID, eventhub.Decision{Rooms: []string{"lobby"}, Data: json.RawMessage(`{"n":1}`)})
		})
	connect := func(user string) (*brokertest.Client, string) {
		c := nodes[0].Dial(nil)
		return c, c.Connect("/", map[string]string{"token": nodes[0].Token(user, brokertest.Everything)})
	}
	eventually(t, "somebody decides", func() bool {
		_, answer := connect("first")
		return strings.HasPrefix(answer, "40")
	})
	c, _ := connect("good")
	info, err := nodes[0].GetSocket(t.Context(), c.ID)
	if err != nil || !slices.Equal(info.Rooms, []string{"lobby"}) || string(info.Data) != `{"n":1}` {
		t.Errorf("the admitted socket is %+v, %v", info, err)
	}
	if _, answer := connect("bad"); !strings.Contains(answer, `"BANNED"`) || !strings.HasPrefix(answer, "44") {
		t.Errorf("who isn't gets %s", answer)
	}
}

// killable is a bus whose node can die without leaving.
type killable struct {
	cluster.Bus
	dead atomic.Bool
}

func (k *killable) Run(ctx context.Context, r cluster.Receiver) error {
	return k.Bus.Run(ctx, deaf{r, k})
}

func (k *killable) Publish(ctx context.Context, batch []cluster.Message, peers []string) ([]cluster.Receipt, error) {
	if k.dead.Load() {
		return make([]cluster.Receipt, len(batch)), nil
	}
	return k.Bus.Publish(ctx, batch, peers)
}

func (k *killable) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	if k.dead.Load() {
		return nil
	}
	return k.Bus.Put(ctx, table, key, value, ttl)
}

type deaf struct {
	cluster.Receiver
	bus *killable
}

func (d deaf) Received(m cluster.Message) {
	if !d.bus.dead.Load() {
		d.Receiver.Received(m)
	}
}

func startKillable(t *testing.T, n int, o broker.Options) ([]*brokertest.Node, []*killable) {
	t.Helper()
	exchange := clustertest.NewExchange()
	buses := make([]*killable, n)
	nodes := startNodes(t, n, o, func(i int) cluster.Bus {
		buses[i] = &killable{Bus: exchange.Bus()}
		return buses[i]
	})
	return nodes, buses
}

// Events that a lost node's backends haven't answered are redelivered to another
// member, marked, and the client is answered once.
func TestBackendsNodeIsLost(t *testing.T) {
	t.Parallel()
	nodes, buses := startKillable(t, 3, broker.Options{AckTimeout: time.Minute})
	o := broker.SubscribeOptions{Group: "g", Kinds: messages}
	first := serve(t, nodes[1], o, ignore)
	c := nodes[0].Join("ana")
	eventually(t, "the first backend gets an event", func() bool { c.Emit("hello"); return len(first.has(eventhub.Message)) > 0 })
	c.Send(`421["asked",1.0]`)
	eventually(t, "the first is asked", func() bool { return slices.Contains(first.has(eventhub.Message), "ana asked?") })
	second := serve(t, nodes[2], o, named("second"))
	buses[1].dead.Store(true)
	c.Send(`422["asked later"]`)
	if got := c.Await("431", "432"); got != `431["second"]432["second"]` {
		t.Errorf("the acks are %s", got)
	}
	got := second.has(eventhub.Message)
	if i := slices.Index(got, "ana asked?!"); i < 0 || slices.Index(got, "ana asked later?!") < i {
		t.Errorf("the second was handed %q", got)
	}
	if err := first.Reply(first.seen[len(first.seen)-1].ID, eventhub.Reply{}); err != nil {
		t.Errorf("the lost one's answer: %v", err)
	}
	c.ExpectNothing()
	buses[1].dead.Store(false)
}

// Backends get one DISCONNECT for each socket of a lost node. If the node comes back,
// they get a CONNECT for each that is still connected.
func TestLostNodesClients(t *testing.T) {
	t.Parallel()
	exchange := clustertest.NewExchange()
	frozen := &clustertest.Freezer{Bus: exchange.Bus()}
	nodes := startNodes(t, 4, broker.Options{}, func(i int) cluster.Bus {
		if i == 0 {
			return frozen
		}
		return exchange.Bus()
	})
	gone := nodes[0].Join("gone") // before anybody wants to hear
	kinds := []eventhub.Kind{eventhub.Connect, eventhub.Disconnect}
	log := serve(t, nodes[1], broker.SubscribeOptions{Kinds: kinds}, ignore)
	mates := []*backend{
		serve(t, nodes[2], broker.SubscribeOptions{Group: "g", Kinds: kinds}, ignore),
		serve(t, nodes[3], broker.SubscribeOptions{Group: "g", Kinds: kinds}, ignore),
	}
	probe := nodes[0].Join("probe")
	eventually(t, "they get an event", func() bool {
		probe.Close()
		probe = nodes[0].Join("probe")
		return len(log.has(eventhub.Connect)) > 0 && len(mates[0].has(eventhub.Connect))+len(mates[1].has(eventhub.Connect)) > 0
	})
	probe.Close()
	for i := range 5 {
		nodes[0].Join(fmt.Sprint("user", i))
	}
	elsewhere := nodes[1].Join("elsewhere")
	gone.Close()
	stayed := nodes[0].Join("stayed")
	eventually(t, "all events have arrived", func() bool { return slices.Contains(log.has(eventhub.Connect), "stayed ") })
	eventually(t, "the end is published", func() bool { return slices.Contains(log.has(eventhub.Disconnect), "gone transport close") })
	// Nobody knows what a lost node hadn't sent to its successor yet, so more is sent after that.
	for i := range 5 {
		marker := fmt.Sprint("marker", i)
		nodes[0].Join(marker).Close()
		eventually(t, "a marker has arrived", func() bool { return slices.Contains(log.has(eventhub.Disconnect), marker+" transport close") })
	}

	frozen.Freeze()
	lost := func(of ...*backend) (all []string) {
		for _, b := range of {
			for _, text := range b.has(eventhub.Disconnect) {
				if strings.HasSuffix(text, "node lost") && !strings.HasPrefix(text, "marker") {
					all = append(all, text)
				}
			}
		}
		return sorted(all)
	}
	want := []string{"stayed node lost", "user0 node lost", "user1 node lost", "user2 node lost", "user3 node lost", "user4 node lost"}
	eventually(t, "the log has the ends", func() bool { return len(lost(log)) >= len(want) })
	eventually(t, "the group has the ends", func() bool { return len(lost(mates...)) >= len(want) })
	before := len(log.has(eventhub.Connect))
	frozen.Thaw()
	eventually(t, "they are back", func() bool { return len(log.has(eventhub.Connect)) >= before+len(want) })
	if got := lost(log); !slices.Equal(got, want) {
		t.Errorf("the log was told %q, want %q", got, want)
	}
	if got := lost(mates...); !slices.Equal(got, want) {
		t.Errorf("the group was told %q, want %q", got, want)
	}
	back := strings.Join(sorted(log.has(eventhub.Connect)[before:]), ",")
	if got := strings.ReplaceAll(back, "!", ""); got != "stayed ,user0 ,user1 ,user2 ,user3 ,user4 " {
		t.Errorf("back are %q", back)
	}
	if got := stayed.Call("e"); !strings.Contains(got, "NO_HANDLER") {
		t.Errorf("a client of the node that was frozen got %s", got)
	}
	elsewhere.Close()
	eventually(t, "others are told as ever", func() bool {
		return slices.Contains(log.has(eventhub.Disconnect), "elsewhere transport close")
	})
}

// However many nodes are killed at almost the same time, a group gets one DISCONNECT
// for each of their clients, as long as a node is left.
func TestDisconnectsOfKilledNodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ nodes, killed int }{{3, 2}, {5, 2}, {5, 4}} {
		t.Run(fmt.Sprintf("%d of %d", test.killed, test.nodes), func(t *testing.T) {
			t.Parallel()
			nodes, buses := startKillable(t, test.nodes, broker.Options{})
			kinds := []eventhub.Kind{eventhub.Connect, eventhub.Disconnect}
			last := len(nodes) - 1
			log := serve(t, nodes[last], broker.SubscribeOptions{Group: "g", Kinds: kinds}, ignore)
			for i, node := range nodes {
				probe := node.Join(fmt.Sprint("probe", i))
				eventually(t, "events of the node's clients arrive", func() bool {
					probe.Close()
					probe = node.Join(fmt.Sprint("probe", i))
					return slices.Contains(log.has(eventhub.Connect), fmt.Sprintf("probe%d ", i))
				})
				probe.Close()
			}
			var want []string
			for i := range test.killed {
				for n := range 20 {
					user := fmt.Sprintf("user%d-%d", i, n)
					nodes[i].Join(user)
					want = append(want, user+" node lost")
				}
				// Nobody knows what a lost node hadn't sent to its successors yet, so more is sent after that.
				for n := range 5 {
					marker := fmt.Sprintf("marker%d-%d", i, n)
					nodes[i].Join(marker).Close()
					eventually(t, "a marker has arrived", func() bool { return slices.Contains(log.has(eventhub.Disconnect), marker+" transport close") })
				}
			}
			for i := range test.killed {
				buses[i].dead.Store(true)
			}
			lost := func() (all []string) {
				for _, text := range log.has(eventhub.Disconnect) {
					if strings.HasPrefix(text, "user") {
						all = append(all, text)
					}
				}
				return sorted(all)
			}
			// It takes some seconds to notice, and again if the one that was to tell is dead too.
			for deadline := time.Now().Add(time.Minute); len(lost()) < len(want) && time.Now().Before(deadline); {
				<-time.After(10 * time.Millisecond)
			}
			if got := lost(); !slices.Equal(got, sorted(want)) {
				t.Errorf("told was %q, want %q", got, sorted(want))
			}
		})
	}
}

// A socket that moves between nodes keeps its backend, which gets its events in order. It ends with
// the node that has it, not with one that had it.
func TestMovedSocketsKeepTheirBackends(t *testing.T) {
	t.Parallel()
	nodes, buses := startKillable(t, 3, broker.Options{Recovery: &broker.RecoveryOptions{}})
	log := serve(t, nodes[2], broker.SubscribeOptions{Group: "g", Observe: true}, ignore)
	for i := range 2 {
		eventually(t, "events of the node's clients arrive", func() bool {
			user := fmt.Sprint("stays", i)
			nodes[i].Join(user)
			return slices.Contains(log.has(eventhub.Connect), user+" ")
		})
	}
	session, token := &brokertest.Session{}, nodes[0].Token("ana", brokertest.Everything)
	client := nodes[0].ReturnTo(token, session)
	eventually(t, "ana is connected", func() bool { return slices.Contains(log.has(eventhub.Connect), "ana ") })
	late := serve(t, nodes[1], broker.SubscribeOptions{Group: "g", Observe: true}, ignore)
	client.ExpectNothing()

	var want []string
	for i := range 7 { // she is at nodes[1] in the end
		client.Close()
		client = nodes[(i+1)%2].ReturnTo(token, session)
		if !session.Recovered {
			t.Fatal("ana has another socket")
		}
		for n := range 20 {
			client.Emit(fmt.Sprintf("n%d-%d", i, n))
			want = append(want, fmt.Sprintf("ana n%d-%d", i, n))
		}
		client.ExpectNothing()
	}
	buses[0].dead.Store(true)
	messages := func() []string {
		return slices.DeleteFunc(of("ana", log.has(eventhub.Message)), func(text string) bool { return text == "ana nobody handles this" })
	}
	eventually(t, "all events arrive", func() bool { return len(messages()) >= len(want) })
	if got := messages(); !slices.Equal(got, want) {
		t.Errorf("the backend got %q, want %q", got, want)
	}
	ended := func() []string { return append(log.has(eventhub.Disconnect), late.has(eventhub.Disconnect)...) }
	awaitEnd := func(user string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); len(of(user, ended())) == 0 && time.Now().Before(deadline); {
			<-time.After(10 * time.Millisecond)
		}
		if len(of(user, ended())) == 0 {
			t.Errorf("%s has not ended", user)
		}
	}
	awaitEnd("stays0")
	if got := of("ana", ended()); len(got) > 0 {
		t.Errorf("ana has ended: %q", got)
	}
	buses[1].dead.Store(true)
	awaitEnd("ana")
	if got := of("ana", log.has(eventhub.Disconnect)); !slices.Equal(got, []string{"ana node lost"}) {
		t.Errorf("ana has ended: %q", got)
	}
	if got := of("ana", late.has(eventhub.Message)); len(got) > 0 {
		t.Errorf("another backend got %q", got)
	}
}

// While the bus is down events wait, and acks fail at their deadline.
func TestEventsWithoutTheBus(t *testing.T) { synctest.Test(t, eventsWithoutTheBus) }

func eventsWithoutTheBus(t *testing.T) {
	nodes, exchange := brokertest.StartClusterInMemory(t, 2, broker.Options{AckTimeout: 300 * time.Millisecond})
	b := serve(t, nodes[1], broker.SubscribeOptions{Group: "g", Kinds: messages}, named("b"))
	c := nodes[0].Join("ana")
	handled(t, c, "ready")
	exchange.SetDown(true)
	eventually(t, "the node notices", nodes[0].Isolated)
	c.Emit("kept", 1)
	if got := c.Call("asked"); !strings.Contains(got, "HANDLER_TIMEOUT") {
		t.Errorf("without the bus the ack is %s", got)
	}
	exchange.SetDown(false)
	eventually(t, "what was kept comes", func() bool { return slices.Contains(b.has(eventhub.Message), "ana kept") })
	if got := c.Call("asked"); got != `["b"]` {
		t.Errorf("the ack is %s", got)
	}
	got := b.has(eventhub.Message)
	if tail := strings.Join(got[len(got)-3:], ", "); tail != "ana kept, ana asked, ana asked?" {
		t.Errorf("the last events are %q", tail)
	}
}
