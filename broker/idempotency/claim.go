package idempotency

import (
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Key names a message within a window of time.
type Key struct {
	// Namespace is the namespace that the message is for. Each has keys of its own.
	Namespace string
	// Text is what the publisher has chosen.
	Text string
}

// ID is the identity of a message in a cluster.
type ID struct {
	// Node is the id of the node that has claimed the key.
	Node string
	// Number is the number that this node has given the message, from 1.
	Number uint64
}

// State says how far the message of a claim has come.
type State uint8

// States of a claim.
const (
	// Sending means that its node sends it, or has failed while it did.
	Sending State = iota
	// Incomplete means that it was sent, but that a node or a room's history lacks it.
	Incomplete
	// Complete means that it was sent.
	Complete
)

// Claim is what is known of a key that has been used.
type Claim struct {
	// Fingerprint tells the message from others.
	Fingerprint Fingerprint
	// ID is the identity of the message.
	ID ID
	// Time is when the claim was made.
	Time time.Time
	// State says how far the message has come.
	State State
	// Result is the result, unless State is [Sending]. It must not be modified.
	Result []byte
}

// lifetime returns for how long the claim is still known after now. A message that may be sent again is
// known no longer than a window in all, since that is how long nodes and histories know its identity.
func (c *Claim) lifetime(window time.Duration, now time.Time) time.Duration {
	if c.State == Complete {
		return window
	}
	return min(window, max(c.Time.Add(window).Sub(now), time.Second))
}

var errClaim = errors.New("idempotency: a claim can't be read; do all nodes run the same release?")

func (c *Claim) encode() []byte {
	raw, _ := proto.Marshal(&wire.Claim{ // an id is always valid
		Fingerprint:   c.Fingerprint[:],
		Node:          c.ID.Node,
		Number:        c.ID.Number,
		ClaimedUnixMs: c.Time.UnixMilli(),
		State:         wire.ClaimState(c.State),
		Result:        c.Result,
	})
	return raw
}

func decodeClaim(raw []byte) (Claim, error) {
	var w wire.Claim
	if err := proto.Unmarshal(raw, &w); err != nil {
		return Claim{}, errClaim
	}
	if len(w.GetFingerprint()) != len(Fingerprint{}) || w.GetNode() == "" || w.GetNumber() == 0 ||
		w.GetState() < 0 || w.GetState() > wire.ClaimState_CLAIM_STATE_COMPLETE {
		return Claim{}, errClaim
	}
	return Claim{
		Fingerprint: Fingerprint(w.GetFingerprint()),
		ID:          ID{Node: w.GetNode(), Number: w.GetNumber()},
		Time:        time.UnixMilli(w.GetClaimedUnixMs()),
		State:       State(w.GetState()), //nolint:gosec // checked above
		Result:      w.GetResult(),
	}, nil
}
