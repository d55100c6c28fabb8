package cluster

import (
	"crypto/rand"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// maxRequestProof is the most bytes that the envelope of a request may have.
const maxRequestProof = 4 << 10

// requests is what a node needs to send HTTP requests to other nodes in its own name, and to check
// theirs. They are numbered apart from what goes over the bus, because they overtake that.
type requests struct {
	// Static.
	key    []byte  // that others use for requests to this node; nil if the cluster has keys
	sealer *sealer // opens requests, and seals them if the cluster has keys

	replays  *replays
	sequence *atomic.Uint64
}

func newRequests(keys [][]byte, maxAge time.Duration) requests {
	r := requests{replays: newReplays(2 * maxAge), sequence: new(atomic.Uint64)}
	if len(keys) == 0 {
		r.key = make([]byte, MinKeyBytes)
		_, _ = rand.Read(r.key) // never fails
		keys = [][]byte{r.key}
	}
	r.sealer = newSealer(keys, maxRequestProof)
	return r
}

// SealRequest returns the proof that an HTTP request to another node comes from this one, with a
// payload that this node vouches for. The proof is good for one request with that subject, at that
// node, within [Options.MaxAge]. The subject names everything about the request that must not be
// changed. The error is [ErrTooLarge], or says that a string isn't UTF-8.
func (m *Mesh) SealRequest(to Node, subject string, payload []byte) ([]byte, error) {
	by := m.requests.sealer
	if !m.sealer.keyed() {
		by = newSealer([][]byte{[]byte(to.requestKey)}, maxRequestProof)
	}
	return by.seal(m.requestChannel(to.ID, subject), &wire.Envelope{
		Sender:     string(m.id),
		Sequence:   m.requests.sequence.Add(1),
		SentUnixMs: m.now().UnixMilli(),
		Body:       &wire.Envelope_Request{Request: &wire.Request{Payload: payload}},
	})
}

// OpenRequest checks the proof of an HTTP request to this node. It returns the node that sends the
// request and the payload, or why it didn't come from a node.
func (m *Mesh) OpenRequest(proof []byte, subject string) (from NodeID, payload []byte, reason LossReason) {
	e, reason := m.requests.sealer.open(m.requestChannel(m.id, subject), proof)
	now := m.now()
	switch {
	case reason != "":
	case e.GetRequest() == nil:
		reason = LostMalformed
	case m.isSkewed(e, now):
		reason = LostClock
	case !m.requests.replays.accept(NodeID(e.GetSender()), e.GetSequence(), now):
		reason = LostReplayed
	}
	if reason != "" {
		return "", nil, reason
	}
	return NodeID(e.GetSender()), e.GetRequest().GetPayload(), ""
}

// RequestRefusals returns the reasons of [Mesh.OpenRequest], so that metrics can start at zero.
func RequestRefusals() []LossReason {
	return []LossReason{LostMalformed, LostVersion, LostTooLarge, LostBadMAC, LostClock, LostReplayed}
}

// requestChannel returns the channel that a request to a node is sealed for. Nothing is published
// on it.
func (m *Mesh) requestChannel(to NodeID, subject string) string {
	return m.nodeChannel(to) + "/request/" + subject
}
