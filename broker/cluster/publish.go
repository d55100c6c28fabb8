package cluster

import (
	"context"
	"errors"

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
	return m.outbox.add(items...)
}

// PublishReported is [Mesh.Publish] that waits for the answer of every node which got
// the message, until ctx's deadline (5 s if it has none).
//
// Who is interested in a topic nobody knows beforehand. How many are, Redis
// says as it publishes, and so it is known how many answers are to come. If one
// doesn't come, the node is named if no other can be it. Two things can make that
// number wrong: a node whose connection is down isn't counted, though it has
// members; and somebody else who subscribes to the channel, or to a pattern
// with it, is counted and never answers. When Redis was away, nodes find back to it one
// by one; so those that haven't been heard since this one did are named as missing,
// unless they answer. What remains is a node that alone has lost its
// connection: until it is noticed as lost, nobody knows.
func (m *Mesh) PublishReported(ctx context.Context, to Route, payload []byte) (Result, error) {
	ctx, cancel := waitContext(ctx)
	defer cancel()
	var expected map[NodeID]struct{}
	var unheard []NodeID
	if to.Topic != "" {
		unheard = m.members.unheard()
	} else {
		expected = m.others(to.Nodes)
		if len(expected) == 0 {
			return Result{}, nil
		}
	}
	w, err := m.pending.open(expected)
	if err != nil {
		return Result{}, err
	}
	defer m.pending.close(w)
	items, err := m.publications(to, payload, w.id, func(to NodeID, receivers int, err error) {
		switch {
		case to != "" && receivers <= 0:
			m.pending.absent(w.id, to)
		case to == "" && err != nil:
			m.pending.fail(w.id, unavailable(err))
		case to == "":
			m.pending.expect(w.id, receivers)
		}
	})
	if err != nil {
		return Result{}, err
	}
	if err := m.outbox.add(items...); err != nil {
		return Result{}, err
	}
	result, err := m.wait(ctx, w, AskedPublish)
	result.miss(unheard)
	return result, err
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
	to Route, payload []byte, replyTo uint64, done func(to NodeID, receivers int, err error),
) ([]outgoing, error) {
	seal := func(channel string, node NodeID) (outgoing, error) {
		e := m.envelope()
		e.Body = &wire.Envelope_Publication{Publication: &wire.Publication{
			Topic: string(to.Topic), Payload: payload, ReplyTo: replyTo,
		}}
		var then func(int, error)
		if done != nil {
			then = func(receivers int, err error) { done(node, receivers, err) }
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
