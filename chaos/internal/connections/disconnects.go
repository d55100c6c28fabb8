package connections

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Disconnects emits to each client and disconnects it at once.
type Disconnects struct {
	Clients int
}

// NewDisconnects returns the scenario.
func NewDisconnects(quick bool) scenario.Scenario {
	if quick {
		return &Disconnects{500}
	}
	return &Disconnects{10_000}
}

// Info implements [scenario.Scenario].
func (s *Disconnects) Info() scenario.Info {
	return scenario.Info{
		Name:  "order",
		Title: "Emit, then disconnect",
		Description: fmt.Sprintf("There are %d clients: half are on WebSocket, half on long-polling, and half of the latter have a poll pending. Each is "+
			"sent a message, by a call or over an EmitStream, and disconnected as soon as the server has answered that. The client must receive "+
			"the message, the reason, the disconnect packet and the end of the connection, in this order and nothing else.", s.Clients),
		Limits: []scenario.Limit{scenario.Zero(scenario.Broken, "clients that received anything else")},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f clients", f[scenario.Clients])
		},
	}
}

const (
	// clientsAtOnce is how many clients are connected at a time: each waits for the server to end a
	// connection without sockets.
	clientsAtOnce = 1000
	// disconnectReason is the reason of the disconnects.
	disconnectReason = "enough for today"
	// callers is how many calls are made at a time.
	callers = 8
)

// disconnectsRun is a run of [Disconnects].
type disconnectsRun struct {
	target   *process.Target
	dialer   *load.Dialer
	clients  []load.Client
	messages salav1.MessageServiceClient
	sockets  salav1.SocketServiceClient
}

// Run implements [scenario.Scenario].
func (s *Disconnects) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	target, err := env.Start(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := target.DialControl()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r := &disconnectsRun{target: target, messages: salav1.NewMessageServiceClient(conn), sockets: salav1.NewSocketServiceClient(conn)}
	if r.clients, err = load.NewClients(ctx, target, s.Clients, load.InRooms()); err != nil {
		return nil, err
	}
	if r.dialer, err = load.NewDialer(target.Listen); err != nil {
		return nil, err
	}
	var failures []error
	for first := 0; first < s.Clients; first += clientsAtOnce {
		failed, err := r.round(ctx, first, min(clientsAtOnce, s.Clients-first))
		if err != nil {
			return nil, err
		}
		failures = append(failures, failed...)
	}
	f := results.Figures{scenario.Clients: float64(s.Clients), scenario.Broken: float64(len(failures))}
	if len(failures) > 0 {
		return f, fmt.Errorf("%d of %d clients failed, the first with: %w", len(failures), s.Clients, failures[0])
	}
	return f, nil
}

// round connects n clients and disconnects them. It returns what was wrong with what they received.
func (r *disconnectsRun) round(ctx context.Context, first, n int) (failures []error, err error) {
	clients := make([]*disconnected, n)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	err = load.InParallel(ctx, load.DefaultWindow, n, func(_ context.Context, i int) (err error) {
		clients[i], err = r.connect(first + i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	err = load.InParallel(r.target.Authorize(ctx), callers, n, func(ctx context.Context, i int) error {
		return r.emitAndDisconnect(ctx, clients[i], first+i)
	})
	if err != nil {
		return nil, err
	}
	checks := make([]error, n)
	err = load.InParallel(ctx, load.DefaultWindow, n, func(_ context.Context, i int) error {
		checks[i] = clients[i].check(first + i)
		return nil
	})
	for _, check := range checks {
		if check != nil {
			failures = append(failures, check)
		}
	}
	return failures, err
}

// connect connects a client: every other over WebSocket, and every other of the rest with a poll
// pending.
func (r *disconnectsRun) connect(i int) (c *disconnected, err error) {
	c = &disconnected{}
	if i%2 == 0 {
		c.socket, c.id, err = load.OpenSocket(r.dialer, r.clients[i])
		return c, err
	}
	if c.polling, c.id, err = load.OpenPolling(r.dialer, r.clients[i]); err != nil {
		return c, err
	}
	if c.pending = i%4 == 1; c.pending {
		err = c.polling.StartPoll()
	}
	return c, err
}

// emitAndDisconnect emits to a client, over a stream or by a call, and disconnects it as soon as
// the server has answered.
func (r *disconnectsRun) emitAndDisconnect(ctx context.Context, c *disconnected, i int) error {
	emit := &salav1.EmitRequest{Sockets: []string{c.id}, Event: load.EmitEvent, ArgsJson: fmt.Sprintf("[%d]", i)}
	var err error
	if i%8 < 4 {
		err = r.emitByStream(ctx, emit)
	} else {
		_, err = r.messages.Emit(ctx, emit)
	}
	if err != nil {
		return fmt.Errorf("emitting: %w", err)
	}
	answer, err := r.sockets.Disconnect(ctx, &salav1.DisconnectRequest{
		Selector: &salav1.Selector{Sockets: []string{c.id}}, Reason: disconnectReason,
	})
	if err != nil {
		return fmt.Errorf("disconnecting: %w", err)
	}
	if answer.GetMatched() != 1 {
		return fmt.Errorf("disconnecting a connected socket matched %d", answer.GetMatched())
	}
	return nil
}

func (r *disconnectsRun) emitByStream(ctx context.Context, emit *salav1.EmitRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.messages.EmitStream(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&salav1.EmitStreamRequest{Sequence: 1, Emit: emit}); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err == nil && answer.GetResult().GetQueued() != 1 {
		err = fmt.Errorf("the answer is %v", answer)
	}
	return err
}

// disconnected is a client that is about to be disconnected.
type disconnected struct {
	id      string        // of its socket
	socket  *load.Conn    // nil if it is on long-polling
	polling *load.Polling // nil if it is on WebSocket
	pending bool          // a poll is pending
}

func (c *disconnected) close() {
	switch {
	case c == nil:
	case c.socket != nil:
		c.socket.Close()
	case c.polling != nil:
		c.polling.Close()
	}
}

// check reads everything that the client received and compares it with what it should have
// received.
func (c *disconnected) check(i int) error {
	want := []string{
		fmt.Sprintf(`42["%s",%d]`, load.EmitEvent, i),
		`42["sala:disconnect",{"code":"DISCONNECTED","reason":"` + disconnectReason + `"}]`,
		"41",
	}
	var got []string
	var err error
	if c.socket != nil {
		got, err = c.readSocket()
		want = append(want, "a close frame", "the end")
	} else {
		got, err = c.readPolls()
		want = append(want, "the end")
	}
	if text, wanted := strings.Join(got, " "), strings.Join(want, " "); text != wanted || err != nil {
		return errors.Join(fmt.Errorf("got %s, want %s", text, wanted), err)
	}
	return nil
}

const (
	// maxPackets bounds how many packets a client reads.
	maxPackets = 10
	// sessionUnknown is in the answer to a poll of a session that the server has ended. The server
	// sends no close packet before that, since python-engineio does not reconnect after one.
	sessionUnknown = `"message":"Session ID unknown"`
)

func (c *disconnected) readSocket() (got []string, err error) {
	for len(got) < maxPackets {
		opcode, payload, err := c.socket.ReadFrame()
		switch {
		case errors.Is(err, io.EOF):
			return append(got, "the end"), nil
		case err != nil:
			return got, err
		case opcode == load.OpClose:
			got = append(got, "a close frame")
			if _, err := c.socket.Write(load.AppendFrame(nil, load.OpClose, bytes.Clone(payload))); err != nil {
				return got, err
			}
		default:
			got = append(got, string(payload))
		}
	}
	return got, nil
}

func (c *disconnected) readPolls() (got []string, err error) {
	for len(got) < maxPackets {
		if !c.pending {
			if err := c.polling.StartPoll(); err != nil {
				return got, err
			}
		}
		c.pending = false
		payload, err := c.polling.FinishPoll()
		if err != nil {
			if strings.Contains(err.Error(), sessionUnknown) {
				return append(got, "the end"), nil
			}
			return got, err
		}
		got = append(got, strings.Split(string(payload), load.PacketSeparator)...)
	}
	return got, nil
}
