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

// queuedAnswer is an encoded answer that counts as unwritten until gRPC frees it: after it is
// written, or when it never will be. gRPC frees what it compresses at once, and so answers aren't
// compressed.
type queuedAnswer struct {
	mem.Buffer
	refs  atomic.Int32 // references besides the first
	conn  *callerConn
	bytes int64      // that it counts on the connection
	queue *sendQueue // that it has entered; nil for the answer of a unary call
	whole mem.BufferSlice
}

// newQueuedAnswer returns an answer that counts as bytes on its connection.
func newQueuedAnswer(data mem.BufferSlice, conn *callerConn, bytes int64, queue *sendQueue) *queuedAnswer {
	a := &queuedAnswer{Buffer: data[0], conn: conn, bytes: bytes, queue: queue, whole: data}
	data[0] = a
	return a
}

// Ref implements mem.Buffer.
func (a *queuedAnswer) Ref() {
	a.refs.Add(1)
	a.Buffer.Ref()
}

// Free implements mem.Buffer.
func (a *queuedAnswer) Free() {
	a.Buffer.Free()
	if a.refs.Add(-1) >= 0 {
		return
	}
	a.conn.wrote(a.bytes)
	if a.queue != nil {
		a.queue.leave()
	}
}
