package cluster

import "context"

// Handler is what a [Mesh] calls. It calls Deliver one at a time, and the four membership methods
// one at a time in the order of the changes. It calls Answer concurrently.
type Handler interface {
	// Deliver handles a payload that another node has published. It must not block: everything that
	// arrives at this node waits for it. If d.WantsAnswer, its result goes back to the publisher.
	Deliver(d Delivery) (answer []byte)

	// Answer answers another node's call, on a goroutine of its own. When ctx ends, the caller has
	// stopped waiting. An error travels as text.
	Answer(ctx context.Context, from NodeID, request []byte) (answer []byte, err error)

	// NodeJoined is called when a node has joined or is back.
	NodeJoined(n Node)
	// NodeLeft is called when a node has said that it leaves.
	NodeLeft(n Node)
	// NodeLost is called when a node has been silent for too long. It may come back.
	NodeLost(n Node)
	// Rejoined is called when others had taken this node for lost and now know that it is there.
	// They may have dropped its state.
	Rejoined()
}

// Delivery is what another node has published.
type Delivery struct {
	// From is the node that published it.
	From NodeID
	// Topic is what it was published on; empty if it was sent to this node alone.
	Topic Topic
	// Payload is what was published. The handler may keep it.
	Payload []byte
	// WantsAnswer is true if the publisher waits for an answer.
	WantsAnswer bool
}
