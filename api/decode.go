package api

import (
	"bytes"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// undecodable is an unknown field that marks a message which could not be
// decoded. A caller who sends it gets the answer that it stands for.
const undecodable = "\xfa\xff\xff\xff\x0f\x0bundecodable"

// codec hands on what can't be decoded as a marked message. gRPC would answer
// INTERNAL by itself, as if the broker were at fault, and nothing would count it.
type codec struct {
	encoding.CodecV2
}

// newCodec wraps the codec that gRPC registers itself.
func newCodec() encoding.CodecV2 {
	return codec{encoding.GetCodecV2("proto")}
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	message, ok := v.(proto.Message)
	if err == nil || !ok {
		return err
	}
	proto.Reset(message)
	message.ProtoReflect().SetUnknown([]byte(undecodable))
	return nil
}

// checkDecoded returns an error for a message that could not be decoded.
func checkDecoded(req any) error {
	message, ok := req.(proto.Message)
	if !ok || !bytes.Equal(message.ProtoReflect().GetUnknown(), []byte(undecodable)) {
		return nil
	}
	return badRequest("the request can't be decoded: it is no message of this call, has text that isn't UTF-8, or is nested too deeply")
}

// RecvMsg implements grpc.ServerStream.
func (s *endingStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return checkDecoded(m)
}
