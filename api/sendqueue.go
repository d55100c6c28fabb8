package api

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// maxQueuedMessages bounds the messages of a stream that wait in gRPC. gRPC bounds only
// their bytes, and a small message takes many times its bytes there.
const maxQueuedMessages = 256

// sendQueue counts the messages of a stream that gRPC has not written yet.
type sendQueue struct {
	length atomic.Int32
	freed  chan struct{} // has a token when a full queue gets room
}

func newSendQueue() *sendQueue { return &sendQueue{freed: make(chan struct{}, 1)} }

// enter waits until there is room for one more message. Only one goroutine may call it at
// a time.
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

// leave makes room for a message. It may be called concurrently.
func (q *sendQueue) leave() {
	if q.length.Add(-1) != maxQueuedMessages {
		return
	}
	select {
	case q.freed <- struct{}{}:
	default:
	}
}

// queuedMessage is an encoded message that leaves its queue when gRPC frees it: after it is
// written, or when it never will be. A message that gRPC compresses is freed at once.
type queuedMessage struct {
	mem.Buffer
	refs  atomic.Int32 // references besides the first
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
