package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// part is what another node has of a question. It is the question's, and
// guarded by its mu.
type part struct {
	summary AckSummary // of the node's sockets
	left    int        // those that nothing is known of yet
	ended   bool       // nothing more is to come
	short   bool       // though it should
}

// part returns that of a node, which asks so many sockets. The caller holds mu.
func (q *question) part(node cluster.NodeID, asked int) *part {
	p, ok := q.parts[node]
	if !ok {
		p = &part{summary: AckSummary{Expected: asked}, left: asked, ended: asked == 0}
		if q.parts == nil {
			q.parts = make(map[cluster.NodeID]*part)
		}
		q.parts[node] = p
		q.left += asked
	}
	return p
}

// account counts n of a part's sockets, or as many as there are. The caller holds mu.
func (q *question) account(p *part, n int, fate fate) {
	n = min(n, p.left)
	*fate(&p.summary) += n
	p.left -= n
	q.left -= n
}

// fail counts as gone what a node hasn't said of its sockets. The caller holds mu.
func (q *question) fail(p *part) {
	if !p.ended {
		p.ended, p.short = true, true
		q.account(p, p.left, disconnected)
	}
}

// askedAt takes in what a node has answered when it was told to ask.
func (q *question) askedAt(node cluster.NodeID, c *wire.Count) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.part(node, int(c.GetMatched()))
	if c.GetRefused() > 0 {
		q.account(p, p.left, dropped)
		p.ended = true
	}
	q.signal()
}

// heardFrom takes in answers that a node sends.
func (q *question) heardFrom(node cluster.NodeID, a *wire.Answers) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.part(node, int(a.GetAsked()))
	if p.ended {
		return
	}
	for _, answer := range a.GetAnswers()[:min(len(a.GetAnswers()), p.left)] {
		q.account(p, 1, answered)
		q.answered++
		q.keep(Ack{
			Socket:      answer.GetSocket(),
			User:        answer.GetUser(),
			Args:        answer.GetArgs(),
			Attachments: answer.GetAttachments(),
			Latency:     time.Duration(answer.GetLatencyUs()) * time.Microsecond, //nolint:gosec // it fits for 292,000 years
		})
	}
	if end := a.GetEnd(); end != nil {
		q.account(p, int(end.GetTimedOut()), timedOut)
		q.account(p, int(end.GetDisconnected()), disconnected)
		q.account(p, int(end.GetDropped()), dropped)
		if p.left > 0 { // answers were lost on their way
			q.fail(p)
		}
		p.ended = true
	}
	q.signal()
}

// lose takes in that a node is gone.
func (q *question) lose(node cluster.NodeID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p, ok := q.parts[node]; ok {
		q.fail(p)
		q.signal()
	}
}

// endParts adds to a summary what became of other nodes' sockets, and returns
// which nodes have said all and which still ask. If late, it is too late for these.
func (q *question) endParts(late bool, sum *AckSummary) (whole map[cluster.NodeID]bool, asking []cluster.NodeID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	whole = make(map[cluster.NodeID]bool, len(q.parts))
	for node, p := range q.parts {
		if p.left > 0 {
			asking = append(asking, node)
			if late {
				q.fail(p)
			}
		}
		whole[node] = !p.short
		sum.Expected += p.summary.Expected
		sum.Answered += p.summary.Answered
		sum.TimedOut += p.summary.TimedOut
		sum.Disconnected += p.summary.Disconnected
		sum.Dropped += p.summary.Dropped
	}
	return whole, asking
}

// An event that asks for answers goes to other nodes as an order. Each asks its
// own sockets, says at once how many they are, and then sends their answers as
// they come and, at the end, what became of the rest. The node that was called
// adds all of that up.

const (
	// summaryGrace is how much longer than sockets other nodes may take.
	summaryGrace = time.Second
	// answersBytes is about how much of answers goes into one message.
	answersBytes = 1 << 20
)

// asks are the questions that concern other nodes.
type asks struct {
	mu     sync.Mutex
	ours   map[uint64]*question      // that others ask for this node
	theirs map[askedBy]chan struct{} // that this node asks for others; closed to stop
	closed bool

	asking sync.WaitGroup // one for each of theirs
}

// askedBy names a question of another node.
type askedBy struct {
	node cluster.NodeID
	id   uint64
}

func newAsks() *asks {
	return &asks{ours: make(map[uint64]*question), theirs: make(map[askedBy]chan struct{})}
}

// othersAsked is that other nodes have been told to ask.
type othersAsked struct {
	b        *Broker
	q        *question
	coverage Coverage // of the order to ask
	unnamed  bool     // it isn't known who hasn't heard it
}

// askOthers has the other nodes ask their sockets that t selects, and returns
// when they have said how many those are; nil if there is nobody to tell.
func (b *Broker) askOthers(ctx context.Context, q *question, ns *namespace, t *Target, m *Message, o AckOptions) *othersAsked {
	if b.mesh == nil {
		return nil
	}
	route, ok := b.routeTo(ns.name, t)
	if !ok {
		return nil
	}
	b.asks.mu.Lock()
	b.asks.ours[q.id] = q
	b.asks.mu.Unlock()
	order := &wire.Order{Order: &wire.Order_Ask{Ask: &wire.Ask{
		Id:        q.id,
		Emit:      &wire.Emit{Target: targetTo(ns.name, t), Event: eventTo(m)},
		TimeoutMs: uint32(max(o.Timeout.Milliseconds(), 1)), //nolint:gosec // at most maxAckTimeout
		Owner:     o.Owner,
	}}}
	ctx, cancel := forOthers(ctx, min(reportTimeout, o.Timeout))
	defer cancel()
	r, err := b.mesh.PublishAndWait(ctx, route, encode(order))
	for _, reply := range r.Replies {
		if counts := counts(cluster.Result{Replies: []cluster.Reply{reply}}); len(counts) > 0 {
			q.askedAt(reply.Node, counts[0])
		}
	}
	return &othersAsked{b: b, q: q, coverage: b.coverage(r, err), unnamed: err != nil || r.Unnamed > 0}
}

// end adds to the summary what became of the other nodes' sockets. Late says that
// they have had all the time there is; otherwise those that still ask needn't
// any more, as enough have answered or the caller has gone.
func (o *othersAsked) end(late bool, summary *AckSummary) {
	o.b.asks.mu.Lock()
	delete(o.b.asks.ours, o.q.id)
	o.b.asks.mu.Unlock()
	whole, asking := o.q.endParts(late, summary)
	for _, id := range o.coverage.Missing {
		node := cluster.NodeID(id)
		if _, heard := whole[node]; !heard {
			whole[node] = false
			asking = append(asking, node)
		}
	}
	summary.Partial = o.unnamed
	for node, complete := range whole {
		if !complete {
			summary.without([]string{string(node)})
		}
	}
	slices.Sort(summary.Missing)
	if len(asking) > 0 {
		stop := &wire.Order{Order: &wire.Order_StopAsking{StopAsking: &wire.StopAsking{Id: o.q.id}}}
		// Whoever doesn't hear it stops by its own clock.
		_ = o.b.mesh.Publish(cluster.Route{Nodes: asking}, encode(stop))
	}
}

// heard passes answers of another node on to the question that they are for. A
// question that has ended is not there any more.
func (a *asks) heard(from cluster.NodeID, answers *wire.Answers) {
	a.mu.Lock()
	q := a.ours[answers.GetId()]
	a.mu.Unlock()
	if q != nil {
		q.heardFrom(from, answers)
	}
}

// gone takes in that a node is gone: it answers nothing any more, and nobody
// waits there for answers.
func (a *asks) gone(node cluster.NodeID) {
	a.mu.Lock()
	ours := make([]*question, 0, len(a.ours))
	for _, q := range a.ours {
		ours = append(ours, q)
	}
	for key := range a.theirs {
		if key.node == node {
			a.stop(key)
		}
	}
	a.mu.Unlock()
	for _, q := range ours {
		q.lose(node)
	}
}

// begin registers a question of another node, for finish to be called. It reports
// false if this node has stopped, or is asking it already.
func (a *asks) begin(key askedBy) (stop <-chan struct{}, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, again := a.theirs[key]; again || a.closed {
		return nil, false
	}
	ch := make(chan struct{})
	a.theirs[key] = ch
	a.asking.Add(1)
	return ch, true
}

func (a *asks) finish(key askedBy) {
	a.mu.Lock()
	delete(a.theirs, key)
	a.mu.Unlock()
	a.asking.Done()
}

// stop ends a question of another node. The caller holds mu.
func (a *asks) stop(key askedBy) {
	if ch, ok := a.theirs[key]; ok {
		close(ch)
		delete(a.theirs, key)
	}
}

// stopped takes in that a node doesn't wait any more.
func (a *asks) stopped(key askedBy) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stop(key)
}

// close begins no more and waits for what has begun. It is called when there are
// no sockets left: then there is nothing to wait for.
func (a *asks) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.asking.Wait()
}

// askFor asks the sockets of this node for another one.
func (b *Broker) askFor(from cluster.NodeID, o *wire.Ask) *wire.Count {
	sockets := b.meant(o.GetEmit().GetTarget())
	if len(sockets) == 0 {
		return &wire.Count{}
	}
	count := matched(len(sockets))
	refused := &wire.Count{Matched: count.GetMatched(), Refused: count.GetMatched()}
	key := askedBy{node: from, id: o.GetId()}
	stop, ok := b.asks.begin(key)
	if !ok {
		return refused
	}
	if !b.waiting.Take(o.GetOwner(), int64(len(sockets))) {
		b.asks.finish(key)
		return refused
	}
	q := b.newQuestion(o.GetOwner(), len(sockets), 0)
	b.pose(q, sockets[0].ns, sockets, messageFrom(o.GetEmit().GetEvent()))
	go func() {
		defer b.asks.finish(key)
		defer b.waiting.Give(o.GetOwner(), int64(len(sockets)))
		defer q.discard()
		b.collect(key, q, sockets, time.Duration(o.GetTimeoutMs())*time.Millisecond, stop)
	}()
	return count
}

// collect sends the answers to a question to the node that has it, until there are
// no more to come or it is stopped.
func (b *Broker) collect(key askedBy, q *question, sockets []*socket, timeout time.Duration, stop <-chan struct{}) {
	forget := func(why fate) {
		for _, s := range sockets {
			s.forget(q, why)
		}
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for !q.settled() {
		answers := q.take()
		b.sendAnswers(key, len(sockets), answers, nil)
		q.taken(answers...)
		select {
		case <-q.wake:
		case <-timer.C:
			forget(timedOut)
		case <-stop:
			forget(nil)
			b.metrics.asked(q.end())
			return
		}
	}
	answers := q.take()
	summary := q.end()
	b.metrics.asked(summary)
	b.sendAnswers(key, len(sockets), answers, &wire.Unanswered{
		TimedOut:     uint32(summary.TimedOut),     //nolint:gosec // bounded by file descriptors
		Disconnected: uint32(summary.Disconnected), //nolint:gosec // bounded by file descriptors
		Dropped:      uint32(summary.Dropped),      //nolint:gosec // bounded by file descriptors
	})
}

// sendAnswers sends what there is to the node that waits for it, in as few messages
// as are well-behaved. What can't be sent it will miss, and count as missing.
func (b *Broker) sendAnswers(key askedBy, asked int, answers []Ack, end *wire.Unanswered) {
	for len(answers) > 0 || end != nil {
		m := &wire.Answers{Id: key.id, Asked: uint32(asked)} //nolint:gosec // bounded by file descriptors
		for size := 0; len(answers) > 0 && (size == 0 || size+answers[0].bytes() <= answersBytes); answers = answers[1:] {
			size += answers[0].bytes() + 1
			m.Answers = append(m.Answers, answerTo(&answers[0]))
		}
		if len(answers) == 0 {
			m.End, end = end, nil
		}
		order := encode(&wire.Order{Order: &wire.Order_Answers{Answers: m}})
		if err := b.mesh.Publish(cluster.Route{Nodes: []cluster.NodeID{key.node}}, order); err != nil {
			b.log.Debug("another node misses answers", "node", string(key.node), "error", err)
			return
		}
	}
}

func answerTo(a *Ack) *wire.Answer {
	return &wire.Answer{
		Socket:      a.Socket,
		User:        a.User,
		Args:        a.Args,
		Attachments: a.Attachments,
		LatencyUs:   uint64(a.Latency.Microseconds()), //nolint:gosec // never below zero
	}
}
