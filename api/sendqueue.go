package api

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// maxQueuedMessages is how many messages of a stream may be in gRPC's queues. gRPC
// bounds their bytes alone, and a small message takes there many times its bytes.
const maxQueuedMessages = 256

// sendQueue counts the messages of a stream that gRPC hasn't written.
type sendQueue struct {
	length atomic.Int32
	freed  chan struct{} // holds a token when the queue has become shorter than it was allowed to be
}

func newSendQueue() *sendQueue { return &sendQueue{freed: make(chan struct{}, 1)} }

// enter waits until there is room for one more message. One goroutine may call it
// at a time.
func (q *sendQueue) enter(ctx context.Context) error {
	if q.length.Add(1) <= maxQueuedMessages {
		return nil
	}
	for q.length.Load() > maxQueuedMessages {
		select {
		case <-q.freed:
		case <-ctx.Done():
			q.leave()
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return nil
}

// leave is called for each message that entered, concurrently.
func (q *sendQueue) leave() {
	if q.length.Add(-1) != maxQueuedMessages {
		return
	}
	select {
	case q.freed <- struct{}{}:
	default:
	}
}

// queuedMessage is an encoded message that leaves its queue when gRPC has written
// it, or never will. gRPC may compress it first: then it leaves at once.
type queuedMessage struct {
	mem.Buffer
	refs  atomic.Int32 // beside the first
	queue *sendQueue
	whole mem.BufferSlice
}

// newQueuedMessage returns a message that has entered a queue.
func newQueuedMessage(data mem.BufferSlice, queue *sendQueue) *queuedMessage {
	m := &queuedMessage{Buffer: data[0], queue: queue, whole: data}
	data[0] = m
	return m
}

// Ref implements mem.Buffer.
func (m *queuedMessage) Ref() {
	m.refs.Add(1)
	m.Buffer.Ref()
}

// Free implements mem.Buffer.
func (m *queuedMessage) Free() {
	m.Buffer.Free()
	if m.refs.Add(-1) < 0 {
		m.queue.leave()
	}
}
