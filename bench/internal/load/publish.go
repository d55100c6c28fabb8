package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/line"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// event is the name of the event that clients get.
const event = "m"

// publisher tells the server what to send. It is used by one goroutine.
type publisher interface {
	// publish hands messages over; it doesn't wait until they are sent.
	publish(batch []line.Message) error
	// close returns how many deliveries the server says that it did not make.
	close() (rejected uint64, err error)
}

func newPublisher(ctx context.Context, j *job.Job) (publisher, error) {
	if j.Target.Protocol == job.Sala {
		return newStreamPublisher(ctx, j)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", j.Target.Control)
	if err != nil {
		return nil, err
	}
	return &linePublisher{conn: conn}, nil
}

// linePublisher publishes over the control port of a peer, a batch in one write.
type linePublisher struct {
	conn net.Conn
	buf  []byte
}

func (p *linePublisher) publish(batch []line.Message) error {
	p.buf = p.buf[:0]
	for _, m := range batch {
		p.buf = line.Append(p.buf, m)
	}
	_, err := p.conn.Write(p.buf)
	return err
}

func (p *linePublisher) close() (uint64, error) { return 0, p.conn.Close() }

// streamPublisher publishes over Sala's EmitStream.
type streamPublisher struct {
	conn     *grpc.ClientConn
	stream   grpc.BidiStreamingClient[salav1.EmitStreamRequest, salav1.EmitStreamResponse]
	sequence uint64
	answers  atomic.Uint64
	rejected atomic.Uint64
	news     chan struct{} // holds a token when there are new answers
	ended    chan error    // how the stream of answers ended
}

func newStreamPublisher(ctx context.Context, j *job.Job) (*streamPublisher, error) {
	conn, err := dialControl(j)
	if err != nil {
		return nil, err
	}
	stream, err := salav1.NewMessageServiceClient(conn).EmitStream(authorized(ctx, j))
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &streamPublisher{conn: conn, stream: stream, news: make(chan struct{}, 1), ended: make(chan error, 1)}
	go p.receive()
	return p, nil
}

func (p *streamPublisher) publish(batch []line.Message) error {
	for _, m := range batch {
		if err := p.send(newEmit(m.Room, m.Payload)); err != nil {
			return err
		}
	}
	return nil
}

func (p *streamPublisher) send(emit *salav1.EmitRequest) error {
	p.sequence++
	if err := p.stream.Send(&salav1.EmitStreamRequest{Sequence: p.sequence, Emit: emit}); err != nil {
		return fmt.Errorf("EmitStream: %w", err)
	}
	return nil
}

func newEmit(room string, payload []byte) *salav1.EmitRequest {
	return &salav1.EmitRequest{Rooms: []string{room}, Event: event, ArgsJson: "[" + string(payload) + "]"}
}

func (p *streamPublisher) receive() {
	for {
		answer, err := p.stream.Recv()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if answer == nil {
			p.ended <- err
			return
		}
		p.answers.Add(1)
		if failed := answer.GetResult().GetError(); failed != nil {
			p.ended <- fmt.Errorf("EmitStream: %s", failed.GetMessage())
			return
		}
		p.rejected.Add(uint64(answer.GetResult().GetDropped()))
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}

// answered waits for the next answer.
func (p *streamPublisher) answered(ctx context.Context) error {
	select {
	case <-p.news:
		return nil
	case err := <-p.ended:
		return errors.Join(errors.New("EmitStream ended early"), err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *streamPublisher) close() (uint64, error) {
	defer p.conn.Close()
	if err := p.stream.CloseSend(); err != nil {
		return 0, err
	}
	if err := <-p.ended; err != nil {
		return 0, err
	}
	if answers := p.answers.Load(); answers != p.sequence {
		return 0, fmt.Errorf("EmitStream: %d answers to %d messages", answers, p.sequence)
	}
	return p.rejected.Load(), nil
}
