package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Publish sends a payload to the other nodes on the route: one message for a topic, otherwise one
// for each node. It doesn't wait: nil means that the payload is queued. A payload that is
// lost later is counted as [LostPublish].
//
// The error is [ErrUnavailable] while the bus is disconnected, [ErrOverloaded] or [ErrTooLarge].
// Then nothing was sent.
func (m *Mesh) Publish(to Route, payload []byte) error {
	items, err := m.publications(to, payload, 0, nil)
	if err != nil {
		return err
	}
	return m.enqueue(items...)
}

// surveyAfter is how long the answers to a publication may take before the nodes are asked which of
// them is subscribed at all. Answers usually take about a millisecond.
const surveyAfter = 50 * time.Millisecond

// foreignKept is how long topics are assumed to have subscribers that aren't nodes, after one was
// found.
const foreignKept = 10 * time.Second

// PublishAndWait publishes like [Mesh.Publish] and waits for the answer of every node that got the
// message, until ctx's deadline (5 s if it has none). It returns [ErrUnavailable] also if the bus
// disconnects meanwhile, and ctx's error if it was cancelled.
//
// No node knows which nodes are subscribed to a topic. The bus says how many subscribers got the
// message, so the mesh knows how many answers to wait for. That number can be wrong in two ways.
//
// A node that has lost its connection isn't counted although it has members. The bus names those
// nodes, and they are in the result's Missing, whether they want the topic or not. So are nodes
// that haven't been heard since the bus connected. If this node doesn't know the others yet, it
// waits for that.
//
// A subscriber of the channel that isn't a node is counted but never answers. So if answers are
// missing after 50 ms, all nodes are asked whether they are subscribed. From then on, the mesh
// waits only for those that are, by name.
func (m *Mesh) PublishAndWait(ctx context.Context, to Route, payload []byte) (Result, error) {
	return m.publishAndWait(ctx, to, payload, func() {})
}

// PublishThen is [Mesh.PublishAndWait], and calls then once the payload is queued: before anything
// that this node publishes later. It calls then also if the payload can't be queued.
func (m *Mesh) PublishThen(ctx context.Context, to Route, payload []byte, then func()) (Result, error) {
	queued := false
	r, err := m.publishAndWait(ctx, to, payload, func() { queued = true; then() })
	if !queued {
		then()
	}
	return r, err
}

func (m *Mesh) publishAndWait(ctx context.Context, to Route, payload []byte, queued func()) (Result, error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	if to.Topic == "" {
		return m.publishToNodes(ctx, to, payload, queued)
	}
	ready, unheard, skewed := m.isReady(), m.members.unheard(), m.ClockSkewed()
	c, err := m.collectors.open(nil)
	if err != nil {
		return Result{}, err
	}
	defer m.collectors.close(c)
	items, err := m.publications(to, payload, c.id, func(_ NodeID, r Receipt, err error) {
		if err != nil {
			m.collectors.fail(c.id, unavailable(err))
			return
		}
		m.collectors.published(c.id, r.Receivers, nodesOf(r.Absent))
	})
	if err != nil {
		return Result{}, err
	}
	if err := m.enqueue(items...); err != nil {
		return Result{}, err
	}
	queued()
	m.surveyWhenSlow(ctx, c, to.Topic, skewed)
	r, err := m.wait(ctx, c, KindPublish, append(unheard, skewed...))
	if err == nil && !ready {
		m.addUnknown(ctx, &r)
	}
	return r, err
}

// addUnknown adds to a result the nodes that this node didn't know yet when it published: they may
// have been about to subscribe.
func (m *Mesh) addUnknown(ctx context.Context, r *Result) {
	select {
	case <-m.ready:
		r.addMissing(m.members.unheard())
	case <-ctx.Done():
		r.Unnamed++
	}
}

func (m *Mesh) isReady() bool {
	select {
	case <-m.ready:
		return true
	default:
		return false
	}
}

// AwaitOrder waits until a node has handled what was published on the topics before, so that a later
// [Mesh.Call] of it finds that done. The node must be subscribed to the topics and answer the payload.
// On a bus with a single lane, it returns at once: everything is in order there. Otherwise it takes as
// long as atMost. The error is that of [Mesh.PublishAndWait], or [ErrUnavailable] if the node doesn't
// answer.
func (m *Mesh) AwaitOrder(ctx context.Context, atMost time.Duration, node NodeID, topics []Topic, payload []byte) error {
	lanes := make(map[int]Topic)
	for _, topic := range topics {
		lanes[m.bus.Lane(m.topicChannel(topic))] = topic
	}
	delete(lanes, m.bus.Lane(m.nodeChannel(node))) // the call is in order with these
	if len(lanes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	errs := make(chan error, len(lanes))
	for _, topic := range lanes {
		go func() {
			r, err := m.PublishAndWait(ctx, Route{Topic: topic}, payload)
			answered := slices.ContainsFunc(r.Replies, func(r Reply) bool { return r.Node == node && r.Err == nil })
			if err == nil && !answered {
				err = ErrUnavailable
			}
			errs <- err
		}()
	}
	var all error
	for range lanes {
		all = errors.Join(all, <-errs)
	}
	return all
}

// publishToNodes is publishAndWait for a route of nodes.
func (m *Mesh) publishToNodes(ctx context.Context, to Route, payload []byte, queued func()) (Result, error) {
	expected := m.others(to.Nodes)
	c, err := m.collectors.open(expected)
	if err != nil || len(expected) == 0 {
		return Result{}, err
	}
	defer m.collectors.close(c)
	items, err := m.publications(to, payload, c.id, func(to NodeID, r Receipt, _ error) {
		if m.isAbsent(r, to) {
			m.collectors.drop(c.id, to)
		}
	})
	if err != nil {
		return Result{}, err
	}
	if err := m.enqueue(items...); err != nil {
		return Result{}, err
	}
	queued()
	m.dropSkewed(c)
	return m.wait(ctx, c, KindPublish, nil)
}

// surveyWhenSlow returns when c is complete, when ctx has ended, or when it has asked the nodes
// whether they are subscribed to the topic. It doesn't wait before it asks if some nodes are
// skewed: they count as receivers but can't be heard.
func (m *Mesh) surveyWhenSlow(ctx context.Context, c *collector, topic Topic, skewed []NodeID) {
	if len(skewed) == 0 && time.Now().UnixNano() > m.foreignUntil.Load() {
		slow := time.NewTimer(surveyAfter)
		defer slow.Stop()
		select {
		case <-c.done:
			return
		case <-ctx.Done():
			return
		case <-slow.C:
		}
	}
	nodes := m.members.ids()
	for _, id := range skewed {
		delete(nodes, id)
	}
	m.collectors.survey(c.id, nodes)
	e := m.envelope()
	e.Body = &wire.Envelope_Survey{Survey: &wire.Survey{Id: c.id, Topic: string(topic)}}
	if err := m.sendAll(e, func(Receipt, error) {}); err != nil {
		m.observer.Lost(LostPublish, 1)
	}
}

// unavailable returns [ErrUnavailable] with its cause.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return errors.Join(ErrUnavailable, err)
}

// others returns the nodes without this one, each once.
func (m *Mesh) others(nodes []NodeID) map[NodeID]struct{} {
	set := make(map[NodeID]struct{}, len(nodes))
	for _, id := range nodes {
		if id != m.id {
			set[id] = struct{}{}
		}
	}
	return set
}

// isAbsent reports whether a node did not get what was sent to its own channel.
func (m *Mesh) isAbsent(r Receipt, id NodeID) bool {
	return r.Receivers <= 0 || slices.Contains(r.Absent, m.nodeChannel(id))
}

// nodesOf returns the nodes to which the channels belong.
func nodesOf(channels []string) []NodeID {
	ids := make([]NodeID, len(channels))
	for i, channel := range channels {
		ids[i] = NodeID(channel[len(channel)-NodeIDBytes:])
	}
	return ids
}

// publications returns the messages that carry a payload along a route. done, if it isn't nil, is
// called with what became of each.
func (m *Mesh) publications(
	to Route, payload []byte, replyTo uint64, done func(to NodeID, r Receipt, err error),
) ([]outgoing, error) {
	seal := func(channel string, node NodeID) (outgoing, error) {
		e := m.envelope()
		e.Body = &wire.Envelope_Publication{Publication: &wire.Publication{
			Topic: string(to.Topic), Payload: payload, ReplyTo: replyTo,
		}}
		var then func(Receipt, error)
		if done != nil {
			then = func(r Receipt, err error) { done(node, r, err) }
		}
		return m.seal(channel, e, then)
	}
	if to.Topic != "" {
		item, err := seal(m.topicChannel(to.Topic), "")
		return []outgoing{item}, err
	}
	nodes := m.others(to.Nodes)
	items := make([]outgoing, 0, len(nodes))
	for id := range nodes {
		item, err := seal(m.nodeChannel(id), id)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// envelope returns an empty envelope from this node.
func (m *Mesh) envelope() *wire.Envelope {
	return &wire.Envelope{
		Sender:      string(m.id),
		Incarnation: m.incarnation.Load(),
		Sequence:    m.sequence.Add(1),
		SentUnixMs:  m.now().UnixMilli(),
	}
}

// seal returns a message with a sealed envelope.
func (m *Mesh) seal(channel string, e *wire.Envelope, done func(Receipt, error)) (outgoing, error) {
	frame, err := m.sealer.seal(channel, e)
	if err != nil {
		return outgoing{}, err
	}
	return outgoing{message: Message{Channel: channel, Payload: frame}, done: done}, nil
}

// enqueue puts messages into the outbox, unless no node would get them.
func (m *Mesh) enqueue(items ...outgoing) error {
	if m.State() != Connected {
		return ErrUnavailable
	}
	return m.outbox.add(items...)
}

// send seals an envelope and puts it into the outbox.
func (m *Mesh) send(channel string, e *wire.Envelope, done func(Receipt, error)) error {
	item, err := m.seal(channel, e, done)
	if err != nil {
		return err
	}
	return m.outbox.add(item)
}

// sendAll sends an envelope to all nodes, over the second channel if the first fails.
func (m *Mesh) sendAll(e *wire.Envelope, done func(Receipt, error)) error {
	channels := m.nodesChannels()
	return m.send(channels[0], e, func(r Receipt, err error) {
		if err == nil || m.send(channels[1], e, done) != nil {
			done(r, err)
		}
	})
}
