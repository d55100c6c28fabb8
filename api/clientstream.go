package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker"
)

const (
	// smallMessage is up to how many bytes a message on a stream takes nothing of a
	// budget while it arrives: it fits into the window, for which its call counts.
	smallMessage = 16 << 10
	// messagePiece is how much of a larger one a caller may send at a time.
	messagePiece = 128 << 10
	// maxInflation is how many times larger DEFLATE makes what it unpacks.
	maxInflation = 1032
)

// messageSource is a stream of gRPC's transport. [grpc.ServerStream] reads and
// unpacks each message as a whole, and nobody can say before whether there is room
// for it.
type messageSource interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
}

// receiveNext receives the next message of a stream that carries many. It may be
// long in coming; as soon as it begins to arrive, there has to be room for it.
func (c *call) receiveNext(ctx context.Context, message proto.Message) error {
	source, ok := grpc.ServerTransportStreamFromContext(ctx).(messageSource)
	if !ok {
		return errors.New("the messages of gRPC's streams can't be read one by one")
	}
	var header [5]byte
	if err := source.ReadMessageHeader(header[:]); err != nil {
		return streamError(err)
	}
	in := &incoming{ctx: ctx, call: c, message: message}
	length, most := int64(binary.BigEndian.Uint32(header[1:])), c.server.intake.maxRequest
	if c.account == c.server.guests {
		most = maxGuestRequest
	}
	if length > c.server.intake.maxReceived {
		return tooManyBytes(length, most)
	}
	if length > most {
		return in.skip(source, length, tooManyBytes(length, most))
	}
	need := 2 * length
	packed := header[0] != 0
	if packed {
		need += 2 * min(most, maxInflation*length)
	}
	if need > 2*smallMessage && c.account != nil {
		receiving := c.server.intake.receiving
		need = min(need, receiving.share)
		if err := receiving.take(ctx, c.account, need, c.server.intake.patience); err != nil {
			c.server.metrics.refuse(refusedReceiving)
			return in.skip(source, length, err)
		}
		defer receiving.give(c.account, need)
		if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
			in.late = time.AfterFunc(c.server.intake.arriving, a.expire)
			defer in.late.Stop()
		}
	}
	data, err := in.read(source, length)
	if err != nil {
		return streamError(err)
	}
	in.arrived()
	defer func() { data.Free() }()
	if packed {
		unpacked, err := unpack(data, source.RecvCompress(), most)
		data.Free()
		data = unpacked
		if err != nil {
			return in.refuse(data, err)
		}
	}
	return in.decode(data, int(most))
}

// read reads a message of which there is room for all. Each piece of it has its
// time to arrive. Pieces are copied at once, since there may be many small ones.
func (in *incoming) read(source messageSource, length int64) (mem.BufferSlice, error) {
	if length <= smallMessage {
		return source.Read(int(length))
	}
	whole := make([]byte, length) // a pool's next larger size may be a multiple of what is counted
	for rest := whole; len(rest) > 0; {
		if in.late != nil {
			in.late.Reset(in.call.server.intake.arriving)
		}
		piece, err := source.Read(min(len(rest), messagePiece))
		if err != nil {
			return nil, err
		}
		rest = rest[piece.CopyTo(rest):]
		piece.Free()
	}
	return mem.BufferSlice{mem.SliceBuffer(whole)}, nil
}

// skip refuses a message without holding more than a piece of it.
func (in *incoming) skip(source messageSource, length int64, why error) error {
	for begun := false; length > 0; begun = true {
		piece, err := source.Read(int(min(length, smallMessage)))
		if err != nil {
			return streamError(err)
		}
		length -= int64(piece.Len())
		if !begun {
			err = in.refuse(piece, why)
		}
		piece.Free()
		if err != nil {
			return err
		}
	}
	return nil
}

// refuse has a message answered by why it isn't accepted, of which there may be no
// more than the beginning. It returns the error if that ends the call.
func (in *incoming) refuse(data mem.BufferSlice, why error) error {
	var failed *broker.Error
	if !isAnsweredAlone(in.message) || !errors.As(why, &failed) {
		return why
	}
	salvage(data.Materialize(), in.message, failed)
	return nil
}

// unpack decompresses a message, up to one that is too large. Of that it returns
// what there is, with an error.
func unpack(packed mem.BufferSlice, with string, most int64) (mem.BufferSlice, error) {
	compressor := encoding.GetCompressor(with)
	if compressor == nil { // gRPC refuses the calls that name one that there isn't
		return nil, badRequest("a message is compressed, and the call doesn't say how (grpc-encoding)")
	}
	source := packed.Reader()
	defer func() { _ = source.Close() }()
	reader, err := compressor.Decompress(source)
	if err != nil {
		return nil, errUndecodable()
	}
	if closer, ok := reader.(io.Closer); ok {
		defer func() { _ = closer.Close() }()
	}
	text, err := io.ReadAll(io.LimitReader(reader, most+1))
	data := mem.BufferSlice{mem.SliceBuffer(text)}
	switch {
	case err != nil:
		return data, errUndecodable()
	case int64(len(text)) > most:
		return data, requestTooLarge("uncompressed, the request has more than the %d bytes that are allowed", most)
	}
	return data, nil
}

func tooManyBytes(has, most int64) *broker.Error {
	return requestTooLarge("the request has %d bytes, at most %d are allowed; args_json takes less room than args", has, most)
}

// streamError returns the error of a stream that can't be read on, as
// [grpc.ServerStream] returns it.
func streamError(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return status.Error(codes.InvalidArgument, "the stream ends within a message")
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, fmt.Sprintf("the stream broke off: %v", err))
}
