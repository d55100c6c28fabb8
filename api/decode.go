package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// codec is the codec that gRPC registers itself, without the errors that would
// end a call. gRPC answers a message that it can't decode, or that it can't
// encode, with INTERNAL, and ends the stream that carries it. But a stream
// carries what many clients send and what many are sent: one of them must not
// end it for all.
type codec struct{ encoding.CodecV2 }

func newCodec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

// decode decodes a request that has arrived, once there is room for it. A
// request that can't be accepted becomes one that says why: see [refusalOf].
func (in *incoming) decode(data mem.BufferSlice) error {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	wire := buf.ReadOnlyData()
	if err := in.call.hold(in.ctx, wire, in.message); err != nil {
		var why *broker.Error
		if !isAnsweredAlone(in.message) || !errors.As(err, &why) {
			return err
		}
		salvage(wire, in.message, why)
		return nil
	}
	if err := proto.Unmarshal(wire, in.message); err != nil {
		salvage(wire, in.message, nil)
	}
	return checkDecoded(in.message)
}

// Marshal implements encoding.CodecV2. Protobuf refuses text that isn't UTF-8,
// so whatever isn't becomes U+FFFD. Only messages that need it are searched.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch ready := v.(type) {
	case encoded:
		return ready.BufferSlice, nil
	case *queuedMessage:
		return ready.whole, nil
	}
	out, err := c.CodecV2.Marshal(v)
	message, ok := v.(proto.Message)
	if err == nil || !ok {
		return out, err
	}
	replaceInvalid(message.ProtoReflect())
	return c.CodecV2.Marshal(message)
}

// encoded is a message that has been encoded already.
type encoded struct{ mem.BufferSlice }

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

// refused begins the unknown field in which a request says why it isn't
// accepted. A caller who sends one gets the answer that it stands for.
var refused = protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.BytesType)

// refuseMessage leaves in a message why it isn't accepted.
func refuseMessage(m proto.Message, why *broker.Error) {
	text, _ := json.Marshal(why) // plain data always encodes
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(bytes.Clone(refused), text))
}

// refusalOf returns why a message isn't accepted, nil if it is.
func refusalOf(m proto.Message) error {
	content, found := bytes.CutPrefix(m.ProtoReflect().GetUnknown(), refused)
	if !found {
		return nil
	}
	text, _ := protowire.ConsumeBytes(content)
	var why broker.Error
	err := json.Unmarshal(text, &why)
	if err != nil || why.Code != broker.CodeInvalidArgument && why.Code != broker.CodeResourceExhausted {
		return apierror.Undecodable()
	}
	return &why
}

// checkDecoded returns an error for a request that isn't accepted, except for
// those whose service answers for each itself.
func checkDecoded(request proto.Message) error {
	if isAnsweredAlone(request) {
		return nil
	}
	return refusalOf(request)
}

// isAnsweredAlone reports whether a request is one of many of a stream, which
// goes on when one is refused.
func isAnsweredAlone(request proto.Message) bool {
	switch request.(type) {
	case *salav1.EmitStreamRequest, *salav1.SubscribeRequest:
		return true
	}
	return false
}
