package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// partialAnswers notices answers that some nodes of the cluster haven't contributed to. Such an answer
// is still useful and not a failure, so the exit code stays 0. A warning goes to standard error, and
// the JSON has "partial".
type partialAnswers struct {
	err     io.Writer
	partial bool
	missing []string
}

// AfterApply is called once the flags are known, before the command runs.
func (c *Client) AfterApply(s *Streams) error {
	c.partial.err = s.Err
	return nil
}

// partialResponse is a response that other nodes contribute to.
type partialResponse interface {
	GetPartial() bool
	GetMissingNodes() []string
}

func (p *partialAnswers) inspect(m any) {
	if acks, ok := m.(*salav1.EmitWithAckResponse); ok {
		m = acks.GetSummary()
	}
	answer, ok := m.(partialResponse)
	if !ok || !answer.GetPartial() {
		return
	}
	p.partial = true
	p.missing = union(p.missing, answer.GetMissingNodes())
}

// warn names the missing nodes. It comes after the output.
func (p *partialAnswers) warn() {
	if !p.partial || p.err == nil {
		return
	}
	nodes := strings.Join(p.missing, ", ")
	if nodes == "" {
		nodes = "unknown"
	}
	fmt.Fprintln(p.err, "sala: warning: the result is incomplete; nodes that did not answer:", nodes)
}

func (p *partialAnswers) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, conn, opts...)
	if err == nil {
		p.inspect(reply)
	}
	return err
}

func (p *partialAnswers) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &inspectedStream{ClientStream: stream, partial: p}, nil
}

// inspectedStream passes each received message to [partialAnswers].
type inspectedStream struct {
	grpc.ClientStream
	partial *partialAnswers
}

// RecvMsg implements grpc.ClientStream.
func (s *inspectedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.partial.inspect(m)
	}
	return err
}
