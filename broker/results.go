package broker

import (
	"encoding/json"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/history"
)

// PartialResult says whether all nodes have contributed to a result. On a single
// node they always have.
type PartialResult struct {
	// Partial says that a node didn't answer in time or can't be reached, so that
	// its part of the result is missing.
	Partial bool
	// Missing are the ids of the nodes that didn't answer, as far as they are
	// known.
	Missing []string
}

// miss adds nodes that didn't answer.
func (p *PartialResult) miss(nodes ...string) {
	if len(nodes) > 0 {
		p.Partial, p.Missing = true, append(p.Missing, nodes...)
	}
}

// Report counts what became of a [Message].
type Report struct {
	// Matched is how many sockets the target selected.
	Matched int
	// Queued is for how many of them the message was queued. That doesn't say
	// that it reached them.
	Queued int
	// Kept is for how many of them it was queued in a session, because the client is
	// away. It gets the message if it returns in time.
	Kept int
	// Dropped is Matched - Queued - Kept.
	Dropped int
	// Positions are where the message is in the history of its rooms: of those that have
	// one and recorded it.
	Positions []RoomPosition
	// Unrecorded are the rooms that have a history and could not record the message.
	Unrecorded []string
	// Duplicate says that an earlier call with the same key sent the message. The rest
	// is the report of that call.
	Duplicate bool
	PartialResult
}

// add adds the counts of another node.
func (r *Report) add(c *wire.Count) {
	r.Matched += int(c.GetMatched())
	r.Queued += int(c.GetQueued())
	r.Kept += int(c.GetKept())
}

// countDropped sets Dropped from the other counts.
func (r *Report) countDropped() { r.Dropped = r.Matched - r.Queued - r.Kept }

// RoomPosition is a position in the history of one room.
type RoomPosition struct {
	Room string
	history.Position
}

// Outcome counts the sockets that a call has changed.
type Outcome struct {
	// Matched is how many sockets the call selected.
	Matched int
	// Refused is how many of them stayed as they were; only of Join.
	Refused int
	PartialResult
}

// Ack is one client's answer to a message.
type Ack struct {
	// Socket is the id of the socket, User its user.
	Socket, User string
	// Args is the text of a JSON array, as the client sent it.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// Latency is the time since the message was queued.
	Latency time.Duration
}

func (a *Ack) bytes() int {
	n := len(a.Args)
	for _, data := range a.Attachments {
		n += len(data)
	}
	return n
}

// AckSummary counts what became of a message that requested acks.
type AckSummary struct {
	// Expected is how many sockets the target selected. It is the sum of the
	// fields below, unless MinAcks was reached before the others answered.
	Expected int
	// Answered is how many sent an ack.
	Answered int
	// TimedOut is how many didn't send one in time.
	TimedOut int
	// Disconnected is how many were disconnected before they sent one.
	Disconnected int
	// Dropped is for how many the message could not be queued.
	Dropped int
	// PartialResult names the nodes that haven't reported on all of their sockets.
	// Sockets that a node didn't report on count as disconnected.
	PartialResult
}

// add adds the counts of another node.
func (s *AckSummary) add(other *AckSummary) {
	s.Expected += other.Expected
	s.Answered += other.Answered
	s.TimedOut += other.TimedOut
	s.Disconnected += other.Disconnected
	s.Dropped += other.Dropped
}
