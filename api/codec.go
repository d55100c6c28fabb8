package api

import (
	"bytes"
	"encoding/json"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// codec is gRPC's codec without the errors that would end a call. gRPC answers a message
// that it can't encode with INTERNAL and ends the stream. But a stream carries messages of
// many clients, and one of them must not end it for all.
type codec struct {
	encoding.CodecV2
	pool mem.BufferPool // of buffers for messages up to largestPooled
}

// largestPooled is the size in bytes up to which encoded messages are in pooled buffers. A pooled
// buffer has up to twice the size that it is asked for; with gRPC's own pool, a message of 33 KB
// that waits for its reader would take 1 MiB.
const largestPooled = 16 << 10

func newCodec() encoding.CodecV2 {
	return codec{encoding.GetCodecV2("proto"), mem.NewTieredBufferPool(2<<10, 4<<10, 8<<10, largestPooled)}
}

// Marshal implements encoding.CodecV2. Protobuf refuses text that isn't UTF-8, so invalid
// bytes become U+FFFD. Only messages that protobuf refuses are searched.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch ready := v.(type) {
	case encoded:
		return ready.BufferSlice, nil
	case *queuedAnswer:
		return ready.whole, nil
	}
	message, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	out, err := c.encode(message)
	if err != nil {
		replaceInvalid(message.ProtoReflect())
		out, err = c.encode(message)
	}
	return out, err
}

// encode encodes a message into a buffer of about its size.
func (c codec) encode(m proto.Message) (mem.BufferSlice, error) {
	size := proto.Size(m)
	options := proto.MarshalOptions{UseCachedSize: true}
	if mem.IsBelowBufferPoolingThreshold(size) || size > largestPooled {
		data, err := options.MarshalAppend(make([]byte, 0, size), m)
		return mem.BufferSlice{mem.SliceBuffer(data)}, err
	}
	buffer := c.pool.Get(size)
	if _, err := options.MarshalAppend((*buffer)[:0], m); err != nil {
		c.pool.Put(buffer)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buffer, c.pool)}, nil
}

// encoded is a message in its encoded form.
type encoded struct{ mem.BufferSlice }

// refused is the tag of the unknown field that says why a request isn't accepted. A caller
// that sends such a field gets the error in it.
var refused = protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.BytesType)

// refuseMessage marks a message with the error to answer it with.
func refuseMessage(m proto.Message, why *broker.Error) {
	text, _ := json.Marshal(why) // plain data always encodes
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(bytes.Clone(refused), text))
}

// refusalOf returns the error that a message is marked with, or nil.
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

// checkDecoded returns the error of a request that isn't accepted, unless its service
// answers each request itself.
func checkDecoded(request proto.Message) error {
	if isAnsweredAlone(request) {
		return nil
	}
	return refusalOf(request)
}

// isAnsweredAlone reports whether a request is one of many on a stream that continues when
// one is refused.
func isAnsweredAlone(request proto.Message) bool {
	switch request.(type) {
	case *salav1.EmitStreamRequest, *salav1.SubscribeRequest:
		return true
	}
	return false
}
