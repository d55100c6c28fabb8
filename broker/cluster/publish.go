package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Publish sends a payload to the other nodes on the route, with one message for
// a topic and one for each node otherwise. It doesn't wait: nil means that it will be
// sent in its turn. What is lost after that is counted ([LostPublish]).
//
// The error is [ErrUnavailable] while the bus is disconnected,
// [ErrOverloaded] or [ErrTooLarge]; then nothing was sent.
func (m *Mesh) Publish(to Route, payload []byte) error {
	items, err := m.publications(to, payload, 0, nil)
	if err != nil {
		return err
	}
	return m.add(items...)
}

// add puts messages into the outbox, unless nobody would hear them.
func (m *Mesh) add(items ...outgoing) error {
	if m.State() != Connected {
		return ErrUnavailable
	}
	return m.outbox.add(items...)
}

// surveyAfter is how long the answers to a publication may take until the nodes
// are asked which of them is interested at all. They take about a millisecond.
const surveyAfter = 50 * time.Millisecond

// strangersKept is how long it is taken for granted that somebody else listens, once
// that has shown.
const strangersKept = 10 * time.Second

// PublishAndWait is [Mesh.Publish] that waits for the answer of every node which got
// the message, until ctx's deadline (5 s if it has none).
//
// Who is interested in a topic nobody knows beforehand. How many are, the bus
// says as it publishes, and so it is known how many answers are to come. Two
// things can make that number wrong.
//
// A node that has lost its connection is not counted, though it has members. The
// bus names those nodes, and they are in the result's Missing, interested or not.
// So are nodes that haven't been heard since the bus has connected.
//
// Somebody else who subscribes to the channel is counted and never answers. So
// if answers are missing after [surveyAfter], the nodes are asked which of them
// is not interested, and from then on only the others are waited for, by name.
func (m *Mesh) PublishAndWait(ctx context.Context, to Route, payload []byte) (Result, error) {
	ctx, cancel := waitContext(ctx)
	defer cancel()
	if to.Topic == "" {
		return m.publishTo(ctx, to, payload)
	}
	unheard, refused := m.members.unheard(), m.ClockSkewed()
	w, err := m.pending.open(nil)
	if err != nil {
		return Result{}, err
	}
	defer m.pending.close(w)
	items, err := m.publications(to, payload, w.id, func(_ NodeID, r Receipt, err error) {
		if err != nil {
			m.pending.fail(w.id, unavailable(err))
			return
		}
		m.pending.expect(w.id, r.Receivers, nodesOf(r.Absent))
	})
	if err != nil {
		return Result{}, err
	}
	if err := m.add(items...); err != nil {
		return Result{}, err
	}
	m.surveyWhenSlow(ctx, w, to.Topic, refused)
	return m.wait(ctx, w, KindPublish, append(unheard, refused...))
}

// publishTo is PublishAndWait to nodes.
func (m *Mesh) publishTo(ctx context.Context, to Route, payload []byte) (Result, error) {
	expected := m.others(to.Nodes)
	w, err := m.pending.open(expected)
	if err != nil || len(expected) == 0 {
		return Result{}, err
	}
	defer m.pending.close(w)
	items, err := m.publications(to, payload, w.id, func(to NodeID, r Receipt, _ error) {
		if m.missed(r, to) {
			m.pending.absent(w.id, to)
		}
	})
	if err != nil {
		return Result{}, err
	}
	if err := m.add(items...); err != nil {
		return Result{}, err
	}
	m.dismiss(w)
	return m.wait(ctx, w, KindPublish, nil)
}

// surveyWhenSlow returns when w is complete, ctx has ended, or the nodes have been
// asked who is not interested in the topic. Those refused can't be heard: they are as
// good as strangers.
func (m *Mesh) surveyWhenSlow(ctx context.Context, w *waiter, topic Topic, refused []NodeID) {
	if len(refused) == 0 && time.Now().UnixNano() > m.strangersUntil.Load() {
		slow := time.NewTimer(surveyAfter)
		defer slow.Stop()
		select {
		case <-w.done:
			return
		case <-ctx.Done():
			return
		case <-slow.C:
		}
	}
	nodes := m.members.ids()
	for _, id := range refused {
		delete(nodes, id)
	}
	m.pending.survey(w.id, nodes)
	e := m.envelope()
	e.Body = &wire.Envelope_Survey{Survey: &wire.Survey{Id: w.id, Topic: string(topic)}}
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

// publications returns the messages that bring a payload along a route. Done,
// if there is one, hears what became of each.
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
		return m.sealed(channel, e, then)
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
