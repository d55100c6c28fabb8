package broker_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/room"
)

// hot is the room in which these tests send, and cold another one with history.
const hot, cold = "hot:1", "cold:1"

// exactOptions is a broker in which hot rooms keep everything that a test sends.
func exactOptions(engine history.Engine) broker.Options {
	o := remembering(engine)
	o.History.Rules = history.Rules{
		{Namespace: "/", Rooms: room.Pattern("hot:*"), Messages: 10_000, TTL: time.Hour},
		{Namespace: "/", Rooms: room.Pattern("cold:*"), Messages: 10, TTL: time.Hour},
	}
	o.Recovery = &broker.RecoveryOptions{}
	return o
}

// lateEngine records with a delay, and says so with another one, as an engine on a network does.
// Several share what they record.
type lateEngine struct {
	*history.Memory
	appends chan func() (done func())
}

func newLateEngine(shared *history.Memory) *lateEngine {
	return &lateEngine{Memory: shared, appends: make(chan func() func(), 10_000)}
}

// Append implements [history.Engine].
func (e *lateEngine) Append(rooms []history.Room, entry history.Entry, done func([]history.Position, error)) {
	e.appends <- func() (late func()) {
		e.Memory.Append(rooms, entry, func(places []history.Position, err error) {
			late = func() { done(places, err) }
		})
		return late
	}
}

// Run implements [history.Engine].
func (e *lateEngine) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case do := <-e.appends:
			if rand.IntN(4) == 0 {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			}
			done := do()
			if rand.IntN(4) == 0 {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			}
			done()
		}
	}
}

func TestJoinsAreExactOnOneNode(t *testing.T) {
	node := brokertest.Start(t, exactOptions(history.NewMemory(history.MemoryOptions{})))
	newExactRun(t, []*brokertest.Node{node}).run(joinsWanted(t, 300))
}

func TestJoinsAreExactOnTwoNodes(t *testing.T) {
	shared, exchange := history.NewMemory(history.MemoryOptions{}), clustertest.NewExchange()
	nodes := make([]*brokertest.Node, 2)
	for i := range nodes {
		o := exactOptions(newLateEngine(shared))
		o.Cluster = &broker.ClusterOptions{Bus: exchange.Bus()}
		nodes[i] = brokertest.Start(t, o)
	}
	awaitNodes(t, nodes)
	newExactRun(t, nodes).run(joinsWanted(t, 300))
}

func awaitNodes(t *testing.T, nodes []*brokertest.Node) {
	t.Helper()
	for _, node := range nodes {
		eventually(t, "the nodes know each other", func() bool {
			list, err := node.ListNodes(t.Context())
			return err == nil && len(list.Nodes) == len(nodes) && !list.Partial
		})
	}
}

// joinsWanted returns how many joins a test makes: SALA_JOINS, or by default n.
func joinsWanted(t *testing.T, n int) int {
	t.Helper()
	wanted, err := strconv.Atoi(cmp.Or(os.Getenv("SALA_JOINS"), strconv.Itoa(n)))
	if err != nil {
		t.Fatalf("SALA_JOINS: %v", err)
	}
	return wanted
}

// exactRun has clients join a room with its history while others send to it, at several nodes, and
// checks afterwards that each got each message once.
type exactRun struct {
	t     *testing.T
	nodes []*brokertest.Node
	ended chan struct{} // closed when the joins are over

	// Guarded by mu.
	mu    sync.Mutex
	joins []observation
}

// observation is what a client saw of one join: the answer, and what it got live after that until it
// left.
type observation struct {
	who    string
	since  uint64 // the offset it asked for; zero if it asked for the last messages
	answer joined
	live   []string // as texts of arguments, in order
}

func newExactRun(t *testing.T, nodes []*brokertest.Node) *exactRun {
	return &exactRun{t: t, nodes: nodes, ended: make(chan struct{})}
}

const (
	// joiners is how many clients at each node join again and again.
	joiners = 8
	// sendPause is the pause of a sender.
	sendPause = 4 * time.Millisecond
)

// run makes so many joins in all and checks them.
func (r *exactRun) run(joins int) {
	var senders, clients sync.WaitGroup
	for i, node := range r.nodes {
		senders.Go(func() { r.sendAsBackend(node, fmt.Sprint("reported", i), false) })
		senders.Go(func() { r.sendAsBackend(node, fmt.Sprint("unreported", i), true) })
		client := node.JoinAs(readerToken(r.t, node, "sender"))
		senders.Go(func() { r.sendAsClient(client, fmt.Sprint("client", i)) })
	}
	var left atomic.Int64
	left.Store(int64(joins))
	for i, node := range r.nodes {
		for j := range joiners {
			who := fmt.Sprintf("joiner %d of node %d", j, i)
			c, withSession := node.Dial(nil), j%2 == 0
			if withSession {
				c.Recover("/", readerToken(r.t, node, "ana"), new(brokertest.Session), nil)
			} else {
				c.Connect("/", map[string]string{"token": readerToken(r.t, node, "ana")})
			}
			clients.Go(func() { r.join(c, who, &left) })
		}
	}
	clients.Wait()
	close(r.ended)
	senders.Wait()
	r.check(r.record(), joins)
}

// sendAsBackend emits numbered messages to the room, some to another one as well.
func (r *exactRun) sendAsBackend(node *brokertest.Node, sender string, unreported bool) {
	for n := 1; ; n++ {
		rooms := []string{hot}
		if n%5 == 0 {
			rooms = []string{cold, hot}
		}
		m := broker.Message{Event: "said", Args: json.RawMessage(fmt.Sprintf(`["%s %d"]`, sender, n)), Unreported: unreported}
		report, err := node.Emit(r.t.Context(), broker.Target{Rooms: rooms}, m)
		if err != nil || len(report.Unrecorded) > 0 || report.Partial || !unreported && len(report.Positions) != len(rooms) {
			r.t.Errorf("%s: Emit: %+v, %v", sender, report, err)
			return
		}
		if r.pause(sendPause) {
			return
		}
	}
}

// sendAsClient relays numbered messages to the room.
func (r *exactRun) sendAsClient(c *brokertest.Client, sender string) {
	for n := 1; ; n++ {
		c.Call("my_event", map[string]string{"room": hot, "text": fmt.Sprintf("%s %d", sender, n)})
		if r.pause(sendPause) {
			return
		}
	}
}

// pause waits for about d, and returns true when the joins are over.
func (r *exactRun) pause(d time.Duration) (ended bool) {
	select {
	case <-r.ended:
		return true
	case <-time.After(time.Duration(rand.Int64N(int64(2 * d)))):
		return false
	}
}

// join joins the room and leaves it, until there are no joins left.
func (r *exactRun) join(c *brokertest.Client, who string, left *atomic.Int64) {
	var position *joined
	var all []observation
	for left.Add(-1) >= 0 && !r.t.Failed() {
		request := map[string]any{"room": hot, "last": []int{0, 1, 3, 100}[rand.IntN(4)]}
		o := observation{who: who}
		if position != nil && rand.IntN(2) == 0 {
			request = map[string]any{"room": hot, "since": map[string]any{"epoch": position.Epoch, "offset": position.Offset}}
			o.since = position.Offset
		}
		o.answer = parseJoined(r.t, c.Call("join", request))
		for _, e := range c.BeforeAnswer() { // it was on its way when the client left
			before := &all[len(all)-1]
			before.live = append(before.live, e.Args)
		}
		if !o.answer.OK {
			r.t.Errorf("%s: join: %+v", who, o.answer.Error)
			return
		}
		position = &o.answer
		for range rand.IntN(8) {
			o.live = append(o.live, c.Next().Args)
		}
		if got := c.Call("leave", hot); got != ok {
			r.t.Errorf("%s: leave: %s", who, got)
		}
		for _, e := range c.BeforeAnswer() {
			o.live = append(o.live, e.Args)
		}
		all = append(all, o)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joins = append(r.joins, all...)
}

// record reads all that the room remembers.
func (r *exactRun) record() (all []string) {
	q := broker.MessagesQuery{Room: hot, Limit: 1000}
	for {
		page, err := r.nodes[0].Messages(r.t.Context(), q)
		if err != nil || !page.Complete {
			r.t.Fatalf("Messages: %+v, %v", page.Position, err)
		}
		for _, m := range page.Messages {
			all = append(all, string(m.Args))
			if m.Offset != uint64(len(all)) {
				r.t.Fatalf("the message %d has the offset %d; send less", len(all), m.Offset)
			}
		}
		if len(page.Messages) == 0 {
			return all
		}
		q.Since = &page.Position
	}
}

// check compares what the clients saw with the record.
func (r *exactRun) check(record []string, joins int) {
	numbers := make([]map[string]int, len(record)+1) // by offset: each sender's number up to there
	last := map[string]int{}
	for i, text := range record {
		numbers[i] = last
		sender, n := numbered(text)
		if n != last[sender]+1 {
			r.t.Fatalf("the record has %s %d after %d", sender, n, last[sender])
		}
		next := make(map[string]int, len(last)+1)
		for s, n := range last {
			next[s] = n
		}
		next[sender], last = n, next
	}
	numbers[len(record)] = last
	live := 0
	for _, o := range r.joins {
		live += len(o.live)
		if err := o.check(record, numbers); err != nil {
			r.t.Errorf("%s, since %d, at %d: %v", o.who, o.since, o.answer.Offset, err)
		}
	}
	if len(r.joins) != joins {
		r.t.Errorf("%d joins were made, not %d", len(r.joins), joins)
	}
	r.t.Logf("%d joins, %d messages recorded, %d received live", len(r.joins), len(record), live)
}

// check returns what is wrong with what a client saw.
func (o *observation) check(record []string, numbers []map[string]int) error {
	end, messages := o.answer.Offset, o.answer.Messages
	if end > uint64(len(record)) {
		return fmt.Errorf("the record has only %d messages", len(record))
	}
	if o.since > 0 && (!o.answer.Complete || uint64(len(messages)) != end-o.since) {
		return fmt.Errorf("there are %d messages, complete %v", len(messages), o.answer.Complete)
	}
	first := end - uint64(len(messages)) + 1
	for i, m := range messages {
		if want := first + uint64(i); m.Offset != want || string(m.Args) != record[want-1] {
			return fmt.Errorf("message %d of %d is %d %s, not %d %s", i, len(messages), m.Offset, m.Args, want, record[want-1])
		}
	}
	got := make(map[string]int)
	for _, text := range o.live {
		sender, n := numbered(text)
		want := cmp.Or(got[sender], numbers[end][sender]) + 1
		if n != want {
			return fmt.Errorf("%s %d came live, not %d, which is the next", sender, n, want)
		}
		got[sender] = n
	}
	return nil
}

// numbered returns the sender and the number of a message.
func numbered(args string) (sender string, n int) {
	text := args
	if _, after, ok := strings.Cut(args, `"text":"`); ok {
		text = after
	}
	sender, number, _ := strings.Cut(strings.Trim(text, `[]{}"`), " ")
	n, _ = strconv.Atoi(number)
	return sender, n
}
