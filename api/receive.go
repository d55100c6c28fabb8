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

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

const (
	// smallMessage is the size up to which a message needs no budget while it arrives: it
	// fits into the window of its call.
	smallMessage = 16 << 10
	// messagePiece is how much of a larger message is received at a time.
	messagePiece = 128 << 10
	// maxInflation is the largest compression ratio of DEFLATE.
	maxInflation = 1032
)

// messageSource is a stream of gRPC's transport. [grpc.ServerStream] would receive and
// unpack each message as a whole, without asking whether there is room for it.
type messageSource interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
}

// sourceOf returns the messageSource of a call.
func sourceOf(ctx context.Context) (messageSource, error) {
	source, ok := grpc.ServerTransportStreamFromContext(ctx).(messageSource)
	if !ok {
		return nil, errors.New("the messages of gRPC's streams can't be read one by one")
	}
	return source, nil
}

// incoming is a request that a call receives.
type incoming struct {
	ctx     context.Context //nolint:containedctx // of the call, for as long as it receives
	call    *call
	source  messageSource
	message proto.Message
	only    bool // the call has no other request, and it must come right after the headers

	header [5]byte
	late   *time.Timer // ends the call if the request doesn't arrive in time; nil if it may take its time
}

// receive receives and decodes the request. A stream may wait for its next request as long
// as it likes; once a request begins to arrive, there must be room for it.
func (in *incoming) receive() error {
	c, intake, source := in.call, in.call.server.intake, in.source
	if in.only {
		in.hurry()
	}
	defer in.arrived()
	if err := source.ReadMessageHeader(in.header[:]); err != nil {
		return in.beginError(err)
	}
	length, most := int64(binary.BigEndian.Uint32(in.header[1:])), intake.maxRequest
	if c.account == c.server.guests {
		most = maxGuestRequest
	}
	if length > intake.maxReceived || length > most && in.only {
		return tooManyBytes(length, most)
	}
	if length > most {
		return in.skip(source, length, tooManyBytes(length, most))
	}
	need := 2 * length
	packed := in.header[0] != 0
	if packed {
		need += 2 * min(most, maxInflation*length)
	}
	if need > 2*smallMessage && c.account != nil {
		in.arrived() // the caller isn't to blame for waiting
		need = min(need, intake.receiving.share)
		if err := intake.receiving.take(in.ctx, c.account, need, intake.patience); err != nil {
			c.server.metrics.refuse(refusedReceiving)
			return in.skip(source, length, err)
		}
		defer intake.receiving.give(c.account, need)
		in.hurry()
	}
	data, err := in.read(source, length)
	if err != nil {
		return streamError(err)
	}
	if in.only {
		if err := source.ReadMessageHeader(in.header[:]); !errors.Is(err, io.EOF) {
			data.Free()
			return in.endError(err)
		}
	}
	in.arrived()
	if !packed {
		defer data.Free()
		return in.decode(data)
	}
	unpacked, err := unpack(data, source.RecvCompress(), most)
	data.Free()
	if err != nil {
		return in.refuse(unpacked, err)
	}
	return in.decode(unpacked)
}

// hurry ends the call unless the request, or its next piece, arrives in time.
func (in *incoming) hurry() {
	if in.late != nil {
		in.late.Reset(in.call.server.intake.arriving)
	} else if a, ok := in.ctx.Value(arrivalKey{}).(*arrival); ok {
		in.late = time.AfterFunc(in.call.server.intake.arriving, a.expire)
	}
}

// arrived stops the timer of hurry.
func (in *incoming) arrived() {
	if in.late != nil {
		in.late.Stop()
	}
}

// beginError returns the error of a call that ends before its next request.
func (in *incoming) beginError(err error) error {
	if in.only && errors.Is(err, io.EOF) {
		return apierror.BadRequest("the call has no request")
	}
	return streamError(err)
}

// endError returns the error of a call that doesn't end after its only request.
func (in *incoming) endError(err error) error {
	if err == nil {
		return apierror.BadRequest("the call has more than one request")
	}
	return streamError(err)
}

// read reads a message for which there is room. Each piece has its own time to arrive, and
// is copied at once, since it may consist of many small frames.
func (in *incoming) read(source messageSource, length int64) (mem.BufferSlice, error) {
	if length <= smallMessage {
		return source.Read(int(length))
	}
	whole := make([]byte, length) // a pool's next larger size may be a multiple of what is counted
	for rest := whole; len(rest) > 0; {
		in.hurry()
		piece, err := source.Read(min(len(rest), messagePiece))
		if err != nil {
			return nil, err
		}
		rest = rest[piece.CopyTo(rest):]
		piece.Free()
	}
	return mem.BufferSlice{mem.SliceBuffer(whole)}, nil
}

// skip reads and refuses a message without holding more than a piece of it.
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

// refuse makes the service answer a message with an error. data may be only the beginning
// of the message. refuse returns the error if it ends the call.
func (in *incoming) refuse(data mem.BufferSlice, why error) error {
	var failed *broker.Error
	if !isAnsweredAlone(in.message) || !errors.As(why, &failed) {
		return why
	}
	salvage(data.Materialize(), in.message, failed)
	return nil
}

// unpack decompresses a message. Of one that is too large it returns the beginning, with an
// error.
func unpack(packed mem.BufferSlice, with string, most int64) (mem.BufferSlice, error) {
	compressor := encoding.GetCompressor(with)
	if compressor == nil { // gRPC refuses unknown names
		return nil, apierror.BadRequest("a message is compressed, and the call doesn't say how (grpc-encoding)")
	}
	source := packed.Reader()
	defer func() { _ = source.Close() }()
	reader, err := compressor.Decompress(source)
	if err != nil {
		return nil, apierror.Undecodable()
	}
	if closer, ok := reader.(io.Closer); ok {
		defer func() { _ = closer.Close() }()
	}
	text, err := io.ReadAll(io.LimitReader(reader, most+1))
	data := mem.BufferSlice{mem.SliceBuffer(text)}
	switch {
	case err != nil:
		return data, apierror.Undecodable()
	case int64(len(text)) > most:
		return data, apierror.TooLarge("uncompressed, the request has more than the %d bytes that are allowed", most)
	}
	return data, nil
}

func tooManyBytes(has, most int64) *broker.Error {
	return apierror.TooLarge("the request has %d bytes, at most %d are allowed; args_json takes less room than args", has, most)
}

// streamError returns the error of a broken stream as [grpc.ServerStream] would.
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

// decode decodes a request that has arrived, once there is room for it. A request that
// can't be accepted becomes one that says why: see [refusalOf].
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
	defer in.call.turn(len(wire))()
	if err := proto.Unmarshal(wire, in.message); err != nil {
		salvage(wire, in.message, nil)
	}
	return checkDecoded(in.message)
}
