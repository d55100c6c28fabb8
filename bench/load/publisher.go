package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// EmitEvent is the name of the event that clients receive.
const EmitEvent = "m"

// NewEmit returns a request to emit a payload to a room.
func NewEmit(room string, payload []byte) *salav1.EmitRequest {
	return &salav1.EmitRequest{Rooms: []string{room}, Event: EmitEvent, ArgsJson: "[" + string(payload) + "]"}
}

// PostEmit emits a payload to a room over REST.
func PostEmit(ctx context.Context, client *http.Client, t *process.Target, room string, payload []byte) error {
	body := fmt.Appendf(nil, `{"rooms":[%q],"event":%q,"args":[%s]}`, room, EmitEvent, payload)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.HTTP+"/v1/emit", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+t.APIKey)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, text)
	}
	return err
}

// Publisher publishes messages to rooms. It belongs to one goroutine.
type Publisher interface {
	// Publish hands messages to the server without waiting until they are sent.
	Publish(batch []line.Message) error
	// Close returns how many deliveries the server says that it dropped.
	Close() (dropped uint64, err error)
}

// NewPublisher returns a publisher over EmitStream for Sala, and over the line protocol for other
// servers.
func NewPublisher(ctx context.Context, t *process.Target) (Publisher, error) {
	if t.APIKey != "" {
		return NewEmitStream(ctx, t)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.Control)
	if err != nil {
		return nil, err
	}
	return &linePublisher{conn: conn}, nil
}

// linePublisher writes each batch in one go.
type linePublisher struct {
	conn net.Conn
	buf  []byte
}

// Publish implements [Publisher].
func (p *linePublisher) Publish(batch []line.Message) error {
	p.buf = p.buf[:0]
	for _, m := range batch {
		p.buf = line.Append(p.buf, m)
	}
	_, err := p.conn.Write(p.buf)
	return err
}

// Close implements [Publisher].
func (p *linePublisher) Close() (uint64, error) { return 0, p.conn.Close() }

// EmitStream publishes over Sala's EmitStream.
type EmitStream struct {
	conn     *grpc.ClientConn
	stream   grpc.BidiStreamingClient[salav1.EmitStreamRequest, salav1.EmitStreamResponse]
	sent     uint64
	answered atomic.Uint64
	dropped  atomic.Uint64
	answers  chan struct{} // holds a token when there are new answers
	ended    chan error    // receives how the answers ended
}

// NewEmitStream opens a stream.
func NewEmitStream(ctx context.Context, t *process.Target) (*EmitStream, error) {
	conn, err := t.DialControl()
	if err != nil {
		return nil, err
	}
	stream, err := salav1.NewMessageServiceClient(conn).EmitStream(t.Authorize(ctx))
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &EmitStream{conn: conn, stream: stream, answers: make(chan struct{}, 1), ended: make(chan error, 1)}
	go p.receive()
	return p, nil
}

// Publish implements [Publisher].
func (p *EmitStream) Publish(batch []line.Message) error {
	for _, m := range batch {
		if err := p.Send(NewEmit(m.Room, m.Payload)); err != nil {
			return err
		}
	}
	return nil
}

// Send sends one request.
func (p *EmitStream) Send(emit *salav1.EmitRequest) error {
	p.sent++
	if err := p.stream.Send(&salav1.EmitStreamRequest{Sequence: p.sent, Emit: emit}); err != nil {
		return fmt.Errorf("EmitStream: %w", err)
	}
	return nil
}

func (p *EmitStream) receive() {
	for {
		answer, err := p.stream.Recv()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if answer == nil {
			p.ended <- err
			return
		}
		p.answered.Add(1)
		if failed := answer.GetResult().GetError(); failed != nil {
			p.ended <- fmt.Errorf("EmitStream: %s", failed.GetMessage())
			return
		}
		p.dropped.Add(uint64(answer.GetResult().GetDropped()))
		select {
		case p.answers <- struct{}{}:
		default:
		}
	}
}

// AwaitFewer waits until fewer than n requests are unanswered.
func (p *EmitStream) AwaitFewer(ctx context.Context, n uint64) error {
	for p.sent-p.answered.Load() >= n {
		select {
		case <-p.answers:
		case err := <-p.ended:
			return errors.Join(errors.New("EmitStream ended early"), err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Close implements [Publisher]: it waits for all answers.
func (p *EmitStream) Close() (uint64, error) {
	defer p.conn.Close()
	if err := p.stream.CloseSend(); err != nil {
		return 0, err
	}
	if err := <-p.ended; err != nil {
		return 0, err
	}
	if answered := p.answered.Load(); answered != p.sent {
		return 0, fmt.Errorf("EmitStream: %d answers to %d messages", answered, p.sent)
	}
	return p.dropped.Load(), nil
}
