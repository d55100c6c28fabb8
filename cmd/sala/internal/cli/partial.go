package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// partialAnswers notices answers to which not all nodes of a cluster have
// contributed. They are worth printing, and no failure: so the exit code stays 0,
// and who must know reads standard error, or "partial" in the JSON.
type partialAnswers struct {
	err     io.Writer
	partial bool
	missing []string
}

// AfterApply is called by kong, once the command line is read.
func (c *Client) AfterApply(s *Streams) error {
	c.partial.err = s.Err
	return nil
}

// partially is what responses have that other nodes contribute to.
type partially interface {
	GetPartial() bool
	GetMissingNodes() []string
}

func (p *partialAnswers) look(m any) {
	if acks, ok := m.(*salav1.EmitWithAckResponse); ok {
		m = acks.GetSummary()
	}
	answer, ok := m.(partially)
	if !ok || !answer.GetPartial() {
		return
	}
	p.partial = true
	p.missing = union(p.missing, answer.GetMissingNodes())
}

// warn says what is missing, after what there is.
func (p *partialAnswers) warn() {
	if !p.partial || p.err == nil {
		return
	}
	nodes := strings.Join(p.missing, ", ")
	if nodes == "" {
		nodes = "it isn't known which"
	}
	fmt.Fprintln(p.err, "sala: warning: this is not all of it, other nodes did not answer:", nodes)
}

func (p *partialAnswers) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, conn, opts...)
	if err == nil {
		p.look(reply)
	}
	return err
}

func (p *partialAnswers) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &lookedAt{ClientStream: stream, by: p}, nil
}

// lookedAt is a stream whose messages are looked at, one at a time.
type lookedAt struct {
	grpc.ClientStream
	by *partialAnswers
}

// RecvMsg implements grpc.ClientStream.
func (l *lookedAt) RecvMsg(m any) error {
	err := l.ClientStream.RecvMsg(m)
	if err == nil {
		l.by.look(m)
	}
	return err
}
