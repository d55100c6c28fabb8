package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// Coverage says whether all nodes of the broker have contributed to a result.
// On a single node they always have.
type Coverage struct {
	// Partial says that a node has not answered in time, or can't be reached,
	// so that its part is missing.
	Partial bool
	// Missing names the nodes that have not answered, as far as they are
	// known.
	Missing []string
}

// without notes that the answers of some nodes are missing.
func (c *Coverage) without(nodes []string) {
	if len(nodes) > 0 {
		c.Partial, c.Missing = true, append(c.Missing, nodes...)
	}
}

// Limits of how long other nodes are waited for.
const (
	// reportTimeout is for counts: they are worth little later.
	reportTimeout = 250 * time.Millisecond
	// queryTimeout is for lists and for calls that change something.
	queryTimeout = 2 * time.Second
	// interestTimeout is how long a join waits until this node hears what
	// others send to the room.
	interestTimeout = time.Second
)

// reserveLeast is the least time that a caller with a deadline gets back, so
// that a partial answer still reaches it.
const reserveLeast = 20 * time.Millisecond

// waitAtMost returns how long to wait for other nodes: at most so long, and not
// up to the caller's deadline. A tenth of the time that is left, or
// [reserveLeast] if that is more, is for bringing the answer back. Otherwise a
// node that is dead and not noticed yet would turn a partial answer into
// DEADLINE_EXCEEDED.
func waitAtMost(ctx context.Context, most time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return most
	}
	left := time.Until(deadline)
	reserve := min(max(left/10, reserveLeast), left/2)
	return min(most, left-reserve)
}

// forOthers bounds a wait for other nodes as [waitAtMost] says.
func forOthers(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, waitAtMost(ctx, most))
}

// ask asks all other nodes.
func (b *Broker) ask(ctx context.Context, q *wire.Query) (cluster.Result, error) {
	ctx, cancel := forOthers(ctx, queryTimeout)
	defer cancel()
	if !b.acquainted(ctx) {
		return cluster.Result{}, cluster.ErrUnavailable
	}
	return b.mesh.CallAll(ctx, encode(q))
}

// acquainted reports whether the node knows who else is there. It waits for a node
// that has just found the cluster, and not for one that can't reach it.
func (b *Broker) acquainted(ctx context.Context) bool {
	if b.Isolated() {
		return false
	}
	select {
	case <-b.mesh.Ready():
		return true
	case <-ctx.Done():
		return false
	}
}

// askNode asks one other node. The error is a *[Error]: notFound if the node
// isn't there, or says that it doesn't answer.
func (b *Broker) askNode(ctx context.Context, node cluster.NodeID, q *wire.Query, into proto.Message, notFound *Error) error {
	unavailable := &Error{Code: CodeUnavailable, Reason: ReasonNodeUnavailable, Message: "the node " + string(node) + " doesn't answer; try again in a moment"}
	ctx, cancel := forOthers(ctx, queryTimeout)
	defer cancel()
	if !b.acquainted(ctx) {
		unavailable.Message = "this node can't reach the others at the moment; try again later"
		return unavailable
	}
	if !b.mesh.HasNode(node) {
		if slices.Contains(b.mesh.ClockSkewed(), node) {
			unavailable.Message = "the node " + string(node) + " can't be heard, as its clock and this one's differ too much; set them"
			return unavailable
		}
		return notFound
	}
	r, err := b.mesh.Call(ctx, []cluster.NodeID{node}, encode(q))
	if err != nil || len(r.Replies) == 0 || r.Replies[0].Err != nil {
		return unavailable
	}
	if into == nil {
		return nil
	}
	if err := proto.Unmarshal(r.Replies[0].Payload, into); err != nil {
		return &Error{Code: CodeInternal, Reason: ReasonNodesDiffer, Message: "the answer of the node " + string(node) + " can't be read; do all run the same release?"}
	}
	return nil
}

// answersOf reads the answers of nodes to one query. One that can't be read is
// as good as none: the second result names its node.
func answersOf[T any, M interface {
	*T
	proto.Message
}](r cluster.Result) (answers []M, unread []string) {
	for _, reply := range r.Replies {
		if reply.Err != nil {
			continue // which is in the coverage
		}
		answer := M(new(T))
		if err := proto.Unmarshal(reply.Payload, answer); err != nil {
			unread = append(unread, string(reply.Node))
			continue
		}
		answers = append(answers, answer)
	}
	return answers, unread
}

// counts returns the counts of the nodes that have answered.
func counts(r cluster.Result) []*wire.Count {
	var counts []*wire.Count
	for _, reply := range r.Replies {
		var c wire.Count
		if reply.Err == nil && proto.Unmarshal(reply.Payload, &c) == nil {
			counts = append(counts, &c)
		}
	}
	return counts
}

// routeTo returns the way to the other nodes that may have sockets that t
// selects; ok is false if none can have.
func (b *Broker) routeTo(namespace string, t *Target) (route cluster.Route, ok bool) {
	everyone := cluster.EveryoneTopic(namespace)
	if t.Everyone {
		return cluster.Route{Topic: everyone}, true
	}
	topics := roomTopics(namespace, t.Rooms)
	for _, user := range t.Users {
		topics = append(topics, cluster.UserTopic(namespace, user))
	}
	nodes := b.ownersOf(t.Sockets)
	if len(topics)+len(nodes) == 0 {
		return cluster.Route{}, false
	}
	return cluster.RouteTo(everyone, topics, nodes), true
}

// ownersOf returns the other nodes that have the sockets. Those of nodes that
// are gone have nobody.
func (b *Broker) ownersOf(sockets []string) []cluster.NodeID {
	var nodes []cluster.NodeID
	seen := make(map[cluster.NodeID]bool)
	for _, id := range sockets {
		if owner := ownerOf(id); string(owner) != b.id && !seen[owner] {
			seen[owner] = true
			if b.mesh.HasNode(owner) || b.Isolated() || slices.Contains(b.mesh.ClockSkewed(), owner) {
				nodes = append(nodes, owner)
			}
		}
	}
	return nodes
}

// ownerOf returns the node that has a socket: its id begins with the node's.
func ownerOf(socket string) cluster.NodeID {
	return cluster.NodeID(socket[:min(len(socket), cluster.NodeIDBytes)])
}

// coverage says what a question to other nodes has not covered.
func (b *Broker) coverage(r cluster.Result, err error) Coverage {
	if err != nil {
		return b.nobodyElse(err)
	}
	c := Coverage{Partial: r.Partial()}
	for _, id := range r.Missing {
		c.Missing = append(c.Missing, string(id))
	}
	for _, reply := range r.Replies {
		if reply.Err != nil {
			c.Partial, c.Missing = true, append(c.Missing, string(reply.Node))
		}
	}
	return c
}

// nobodyElse is the coverage when the others could not be asked.
func (b *Broker) nobodyElse(err error) Coverage {
	if !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		b.log.Warn("the other nodes could not be asked", "error", err)
	}
	c := Coverage{Partial: true}
	for _, other := range b.mesh.Nodes()[1:] {
		c.Missing = append(c.Missing, string(other.ID))
	}
	return c
}

// encode returns a message's wire form; what nodes say always has one.
func encode(m proto.Message) []byte {
	raw, _ := proto.Marshal(m)
	return raw
}

func targetTo(namespace string, t *Target) *wire.Target {
	return &wire.Target{
		Namespace:     namespace,
		Everyone:      t.Everyone,
		Rooms:         t.Rooms,
		Users:         t.Users,
		Sockets:       t.Sockets,
		ExceptRooms:   t.ExceptRooms,
		ExceptUsers:   t.ExceptUsers,
		ExceptSockets: t.ExceptSockets,
	}
}

func targetFrom(t *wire.Target) Target {
	return Target{
		Everyone:      t.GetEveryone(),
		Rooms:         t.GetRooms(),
		Users:         t.GetUsers(),
		Sockets:       t.GetSockets(),
		ExceptRooms:   t.GetExceptRooms(),
		ExceptUsers:   t.GetExceptUsers(),
		ExceptSockets: t.GetExceptSockets(),
	}
}

func eventTo(m *Message) *wire.Event {
	return &wire.Event{Name: m.Event, Args: m.Args, Attachments: m.Attachments, Volatile: m.Volatile}
}

func messageFrom(e *wire.Event) *Message {
	return &Message{Event: e.GetName(), Args: e.GetArgs(), Attachments: e.GetAttachments(), Volatile: e.GetVolatile()}
}
