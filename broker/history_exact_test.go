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
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/redishistory"
	"github.com/salabroker/sala/broker/room"
)

// hot is a room in which these tests send, and cold another one with history.
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
			linger(ctx)
			done := do()
			linger(ctx)
			done()
		}
	}
}

// linger waits for a moment, now and then.
func linger(ctx context.Context) {
	if rand.IntN(4) > 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond):
	}
}

func TestJoinsAreExactOnOneNode(t *testing.T) {
	node := brokertest.Start(t, exactOptions(history.NewMemory(history.MemoryOptions{})))
	joinExactly(t, []*brokertest.Node{node}, false)
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
	joinExactly(t, nodes, false)
}

// The same with everything in Redis, as it is in production.
func TestJoinsAreExactOverRedis(t *testing.T) {
	nodes, _ := startOverRedis(t, 3, patient)
	joinExactly(t, nodes, false)
}

// Clients that lose their connection in the middle of a join, or afterwards, and return to any node.
func TestJoinsAndReturnsAreExact(t *testing.T) {
	nodes, _ := startOverRedis(t, 3, patient)
	joinExactly(t, nodes, true)
}

// While Redis is down, messages reach the sockets of their node and are reported as not recorded.
// When it is back, readers learn that something is missing.
func TestHistoryWhileRedisIsDown(t *testing.T) {
	nodes, server := startOverRedis(t, 2, 0)
	here := nodes[0].JoinAs(readerToken(t, nodes[0], "ana"))
	first := parseJoined(t, here.Call("join", map[string]any{"room": hot, "last": 10}))
	if report := say(t, nodes[1], "1", hot); len(report.Positions) != 1 || report.Unrecorded != nil || report.Queued != 1 {
		t.Fatalf("before: %+v", report)
	}
	here.Expect("said", `["1"]`)

	server.Kill()
	eventually(t, "the nodes notice", func() bool { return nodes[0].Isolated() && nodes[1].Isolated() })
	if report := say(t, nodes[0], "2", hot); report.Positions != nil || fmt.Sprint(report.Unrecorded) != "["+hot+"]" || report.Queued != 1 || !report.Partial {
		t.Errorf("meanwhile: %+v", report)
	}
	here.Expect("said", `["2"]`)
	failed := parseJoined(t, here.Call("join", map[string]any{"room": cold, "last": 10}))
	if failed.Error == nil || failed.Error.Code != broker.ReasonHistoryNotReached {
		t.Errorf("a join meanwhile: %+v", failed)
	}
	if _, err := nodes[1].Messages(t.Context(), broker.MessagesQuery{Room: hot}); !isReason(err, broker.ReasonHistoryNotReached) {
		t.Errorf("Messages meanwhile: %v", err)
	}
	if got := here.Call("join", "plain"); got != ok {
		t.Errorf("a join without history meanwhile: %s", got)
	}

	server.Restart()
	eventually(t, "messages are recorded again", func() bool {
		report := say(t, nodes[1], "3", hot)
		return report.Unrecorded == nil && !report.Partial && report.Queued == 1
	})
	since := map[string]any{"epoch": first.Epoch, "offset": first.Offset}
	again := parseJoined(t, here.Call("join", map[string]any{"room": hot, "since": since}))
	if !again.OK || again.Complete || again.Epoch == first.Epoch || !strings.HasSuffix(again.texts(), `said["3"]`) {
		t.Errorf("afterwards: %+v", again)
	}
}

// patient is how long histories wait for Redis where a busy machine must not make joins fail.
const patient = 30 * time.Second

// startOverRedis returns nodes that share a Redis, for their messages and the history, which waits for
// it for so long; 0 is the usual time.
func startOverRedis(t *testing.T, n int, timeout time.Duration) ([]*brokertest.Node, *clustertest.Redis) {
	t.Helper()
	server := clustertest.Start(t)
	nodes := make([]*brokertest.Node, n)
	for i := range nodes {
		bus, err := redis.New(redis.Options{URL: server.URL()})
		if err != nil {
			t.Fatal(err)
		}
		engine, err := redishistory.New(redishistory.Options{Redis: redis.Options{URL: server.URL(), Timeout: timeout}})
		if err != nil {
			t.Fatal(err)
		}
		o := exactOptions(engine)
		o.Cluster = &broker.ClusterOptions{Bus: bus}
		nodes[i] = brokertest.Start(t, o)
	}
	awaitNodes(t, nodes)
	for _, node := range nodes {
		eventually(t, "the node records", func() bool { return say(t, node, "ready", "cold:ready").Unrecorded == nil })
	}
	return nodes, server
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

// roundOfJoins is how many joins a run makes: while these last, a room keeps all that is sent to it.
const roundOfJoins = 300

// joinExactly makes as many joins as SALA_JOINS says, by default one round of them. Each round has a room
// of its own.
func joinExactly(t *testing.T, nodes []*brokertest.Node, cuts bool) {
	t.Helper()
	wanted, err := strconv.Atoi(cmp.Or(os.Getenv("SALA_JOINS"), strconv.Itoa(roundOfJoins)))
	if err != nil {
		t.Fatalf("SALA_JOINS: %v", err)
	}
	for round := 1; wanted > 0 && !t.Failed(); round++ {
		joins := min(wanted, roundOfJoins)
		r := &exactRun{t: t, nodes: nodes, room: fmt.Sprint("hot:", round), cuts: cuts, ended: make(chan struct{})}
		r.run(joins)
		wanted -= joins
	}
}

// exactRun has clients join a room with its history while others send to it, at several nodes, and
// checks afterwards that each got each message once.
type exactRun struct {
	t     *testing.T
	nodes []*brokertest.Node
	room  string
	cuts  bool          // clients with a session lose their connection now and then
	ended chan struct{} // closed when the joins are over

	returns atomic.Int64 // of clients that were cut

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
		senders.Go(func() {
			defer client.Close()
			r.sendAsClient(client, fmt.Sprint("client", i))
		})
	}
	var left atomic.Int64
	left.Store(int64(joins))
	for i, node := range r.nodes {
		for n := range joiners {
			j := r.newJoiner(node, fmt.Sprintf("joiner %d of node %d", n, i), n%2 == 0)
			clients.Go(func() { j.run(&left) })
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
		rooms := []string{r.room}
		if n%5 == 0 {
			rooms = []string{cold, r.room}
		}
		m := broker.Message{Event: "said", Args: json.RawMessage(fmt.Sprintf(`["%s %d"]`, sender, n)), Unreported: unreported}
		report, err := node.Emit(r.t.Context(), broker.Target{Rooms: rooms}, m) // partial if a node answers late
		if err != nil || len(report.Unrecorded) > 0 || !unreported && len(report.Positions) != len(rooms) {
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
		c.Call("my_event", map[string]string{"room": r.room, "text": fmt.Sprintf("%s %d", sender, n)})
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

// joiner is a client that joins the room again and again. With a session it may be cut, and returns
// to any node.
type joiner struct {
	r       *exactRun
	who     string
	token   string
	client  *brokertest.Client
	session *brokertest.Session // nil for none
	member  bool                // what comes before the answer to the next join belongs to an earlier one
	joins   []observation
}

func (r *exactRun) newJoiner(node *brokertest.Node, who string, withSession bool) *joiner {
	j := &joiner{r: r, who: who, token: readerToken(r.t, node, "ana"), client: node.Dial(nil)}
	if withSession {
		j.session = new(brokertest.Session)
		j.client.Recover("/", j.token, j.session, nil)
	} else {
		j.client.Connect("/", map[string]string{"token": j.token})
	}
	return j
}

// run joins the room and leaves it, until there are no joins left.
func (j *joiner) run(left *atomic.Int64) {
	defer func() { j.client.Close() }() // the one that it has by then
	for left.Add(-1) >= 0 && !j.r.t.Failed() {
		for j.isCut() {
			j.client.Send(`42999["join",{"room":"` + j.r.room + `","last":3}]`) // and the answer is lost
			j.comeBack()
			j.member = false
		}
		j.join()
	}
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	j.r.joins = append(j.r.joins, j.joins...)
}

// join joins the room, receives some live messages, and leaves it.
func (j *joiner) join() {
	t := j.r.t
	request := map[string]any{"room": j.r.room, "last": []int{0, 1, 3, 100}[rand.IntN(4)]}
	o := observation{who: j.who}
	if n := len(j.joins); n > 0 && rand.IntN(2) == 0 {
		before := &j.joins[n-1].answer
		request = map[string]any{"room": j.r.room, "since": map[string]any{"epoch": before.Epoch, "offset": before.Offset}}
		o.since = before.Offset
	}
	o.answer = parseJoined(t, j.client.Call("join", request))
	for tries := 0; tries < 30 && !o.answer.OK && o.answer.Error.Code == broker.ReasonHistoryNotReached; tries++ {
		if early := j.client.BeforeAnswer(); len(j.joins) > 0 && j.member {
			j.joins[len(j.joins)-1].take(early)
		}
		o.answer = parseJoined(t, j.client.Call("join", request)) // as the client is told to; the machine is busy
	}
	if !o.answer.OK {
		t.Errorf("%s: join: %+v", j.who, o.answer.Error)
		return
	}
	early := j.client.BeforeAnswer()
	if len(j.joins) > 0 && j.member { // it was on its way when the client left
		j.joins[len(j.joins)-1].take(early)
	}
	j.member = true
	for range rand.IntN(8) {
		o.live = append(o.live, j.client.Next().Args)
		if j.isCut() {
			j.comeBack()
		}
	}
	if got := j.client.Call("leave", j.r.room); got != ok {
		t.Errorf("%s: leave: %s", j.who, got)
	}
	o.take(j.client.BeforeAnswer())
	j.joins = append(j.joins, o)
}

func (o *observation) take(events []brokertest.Event) {
	for _, e := range events {
		o.live = append(o.live, e.Args)
	}
}

// isCut decides whether the client loses its connection now.
func (j *joiner) isCut() bool { return j.r.cuts && j.session != nil && rand.IntN(8) == 0 }

// comeBack has the client lose its connection and return to its session.
func (j *joiner) comeBack() {
	j.client.Close()
	node := j.r.nodes[rand.IntN(len(j.r.nodes))]
	j.client = node.ReturnTo(j.token, j.session)
	if !j.session.Recovered {
		j.r.t.Errorf("%s didn't get its session back", j.who)
	}
	j.r.returns.Add(1)
}

// record reads all that the room remembers.
func (r *exactRun) record() (all []string) {
	q := broker.MessagesQuery{Room: r.room, Limit: 1000}
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
	r.t.Logf("%d joins, %d returns, %d messages recorded, %d received live", len(r.joins), r.returns.Load(), len(record), live)
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
			return fmt.Errorf("%s %d came live, not %d, which is the next: %v", sender, n, want, o.live)
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
