package forward

import (
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// feed is the events that another node has for one subscription here. All but
// the static fields is guarded by Peers.mu.
type feed struct {
	// Static.
	node    *node
	id      uint64 // of the subscription
	session uint64
	source  *eventhub.Source

	received uint64 // the last number that has come, without a gap

	// What the other node was told last, unless it has to be told again.
	told                    bool
	toldReceived, toldTaken uint64
}

// ended is the last that was said of a feed, in case it has to be said again.
type ended struct {
	progress *wire.EventProgress
	since    time.Time
}

// offer hands events of another node to the subscription that they are for.
func (p *Peers) offer(n *node, batch *wire.EventBatch) {
	f := n.feeds[batch.GetSubscription()]
	if f != nil && f.session > batch.GetSession() {
		return // an echo
	}
	if f == nil || f.session < batch.GetSession() {
		if f = p.feed(n, batch, f); f == nil {
			return
		}
	}
	f.source.Over(batch.GetAnswered(), batch.GetExpired())
	if batch.GetFirst() != f.received+1 || len(batch.GetEvents()) == 0 {
		f.told = false // something was lost, be it only what was said here
	}
	if batch.GetFirst() > f.received+1 {
		return // what is missing comes again, and all that is behind it
	}
	sockets := make([]*eventhub.Socket, len(batch.GetSockets()))
	for i, s := range batch.GetSockets() {
		sockets[i] = SocketFrom(s)
	}
	for i, e := range batch.GetEvents() {
		if batch.GetFirst()+uint64(i) <= f.received {
			continue // it has come before
		}
		if !f.source.Offer(deliveryFrom(e, sockets)) {
			return
		}
		f.received++
	}
}

// feed begins a session. It tells the other node, and returns nil, if there can be
// none.
func (p *Peers) feed(n *node, batch *wire.EventBatch, before *feed) *feed {
	if before != nil { // the other node has given it up
		p.forget(before)
		before.source.Stop(false)
	}
	s := p.subscription(batch.GetSubscription())
	if s == nil || batch.GetArrived() != 0 {
		progress := &wire.EventProgress{
			Subscription: batch.GetSubscription(), Session: batch.GetSession(), Ended: s == nil, Unknown: batch.GetArrived() != 0,
		}
		if last, ok := n.ended[batch.GetSubscription()]; ok && last.progress.GetSession() == batch.GetSession() {
			progress = last.progress
		}
		n.progress = append(n.progress, progress)
		p.bell.Ring()
		return nil
	}
	f := &feed{node: n, id: batch.GetSubscription(), session: batch.GetSession()}
	f.source = s.From(p.bell, func(a eventhub.Answer) { p.answer(f, a) })
	n.feeds[f.id] = f
	p.feeds[f.source] = f
	return f
}

// subscription returns one of this node's; nil if it isn't there any more.
func (p *Peers) subscription(id uint64) *eventhub.Subscription {
	for _, s := range p.opts.Hub.Subscriptions() {
		if s.ID() == id {
			return s
		}
	}
	return nil
}

// heardStop takes back what another node has given up.
func (p *Peers) heardStop(n *node, stop *wire.EventStop) {
	if f := n.feeds[stop.GetSubscription()]; f != nil && f.session == stop.GetSession() {
		p.forget(f)
		f.source.Stop(stop.GetSlow())
	}
}

func (p *Peers) forget(f *feed) {
	delete(f.node.feeds, f.id)
	delete(p.feeds, f.source)
}

// report says how far a subscription has come, unless that was said before. The
// caller holds mu.
func (p *Peers) report(f *feed) {
	taken, over := f.source.Taken()
	if f.told && f.toldReceived == f.received && f.toldTaken == taken && !over {
		return
	}
	f.told, f.toldReceived, f.toldTaken = true, f.received, taken
	progress := &wire.EventProgress{
		Subscription: f.id, Session: f.session, Received: f.received, Taken: taken, Ended: over,
	}
	f.node.progress = append(f.node.progress, progress)
	if over {
		f.node.ended[f.id] = ended{progress, time.Now()}
		p.forget(f)
	}
}

// answer has an answer sent. It is called by the hub, without its locks.
func (p *Peers) answer(f *feed, a eventhub.Answer) {
	if !p.answers.add(f, a) {
		p.opts.Logger.Warn("an answer is lost: too many wait for the other node", "node", string(f.node.id))
		return
	}
	p.bell.Ring()
}

// sendFeedback sends what there is to say to each node: answers first, as those
// who have ended have given theirs before. The caller holds mu.
func (p *Peers) sendFeedback() {
	feedback := make(map[*node]*wire.EventFeedback)
	size := 0
	for _, a := range p.answers.take() {
		n := a.feed.node
		if size += a.size; size > batchBytes {
			p.flush(feedback)
			size = a.size
		}
		of(feedback, n).Answers = append(of(feedback, n).GetAnswers(), answerTo(a.feed, &a.answer))
	}
	for _, n := range p.nodes {
		if len(n.progress) > 0 {
			of(feedback, n).Progress = n.progress
			n.progress = nil
		}
	}
	p.flush(feedback)
}

func of(feedback map[*node]*wire.EventFeedback, n *node) *wire.EventFeedback {
	if feedback[n] == nil {
		feedback[n] = &wire.EventFeedback{}
	}
	return feedback[n]
}

func (p *Peers) flush(feedback map[*node]*wire.EventFeedback) {
	for n, f := range feedback {
		p.say(n, &wire.EventTraffic{Body: &wire.EventTraffic_Feedback{Feedback: f}})
	}
	clear(feedback)
}

// answers are those of backends that wait to be sent, bounded in bytes.
type answers struct {
	mu    sync.Mutex
	all   []toSend
	bytes int
}

type toSend struct {
	feed   *feed
	answer eventhub.Answer
	size   int
}

func (a *answers) add(f *feed, answer eventhub.Answer) bool {
	size := 128 + len(answer.Reply.Args) + len(answer.Decision.Data)
	for _, b := range answer.Reply.Attachments {
		size += len(b)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes+size > maxAnswerBytes && a.bytes > 0 {
		return false
	}
	a.bytes += size
	a.all = append(a.all, toSend{f, answer, size})
	return true
}

func (a *answers) take() []toSend {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all, a.bytes = nil, 0
	return all
}
