package broker

import (
	"context"
	"encoding/json"
	"time"
)

// AckOptions says how long to wait for the answers to an event.
type AckOptions struct {
	// Timeout is how long clients may take; zero means 10 s.
	Timeout time.Duration
	// MinAcks is after how many answers not to wait for more; zero means for
	// everyone.
	MinAcks int
}

// Ack is one client's answer to an event.
type Ack struct {
	// Socket and User say whose it is.
	Socket, User string
	// Args is the text of a JSON array, as the client sent it.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// Latency is the time since the event was queued.
	Latency time.Duration
}

// AckSummary counts what became of an event that asked for answers.
type AckSummary struct {
	// Expected is how many sockets the target named. It is the sum of the
	// others, unless MinAcks was reached before the rest answered.
	Expected int
	// Answered is how many answered.
	Answered int
	// TimedOut is how many did not in time.
	TimedOut int
	// Disconnected is how many went away without an answer.
	Disconnected int
	// Dropped is to how many the event could not be queued.
	Dropped int
}

// EmitWithAck sends a message as Emit does, asks each socket for an answer and
// passes the answers to each, on the caller's goroutine, one at a time and as
// they come. It returns when no more are waited for. An answer that comes later
// is ignored. It may be called concurrently. The error is a *[Error], ctx's, or
// what each returned, which ends the waiting.
func (b *Broker) EmitWithAck(ctx context.Context, t Target, m Message, o AckOptions, each func(Ack) error) (AckSummary, error) {
	return AckSummary{}, &Error{Code: CodeUnavailable, Reason: "TODO", Message: "not yet"}
}
