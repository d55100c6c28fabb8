package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// crowd is how many clients are there at a time: each waits for the end that the server gives a connection which
	// carries no socket any more.
	crowd = 1000
	// whyFarewell is the reason of the disconnects.
	whyFarewell = "enough for today"
)

// guest is one client that is about to be disconnected.
type guest struct {
	id      string   // of its socket
	socket  *stream  // nil if it is
	polls   *polling // nil if it is
	polling bool     // a poll is pending
}

// farewell is a Farewell job that runs.
type farewell struct {
	job      *job.Job
	dialer   *dialer
	clients  []client
	messages salav1.MessageServiceClient
	sockets  salav1.SocketServiceClient
}

// runFarewell emits to each client and disconnects it at once, and checks that the client gets exactly the message, the
// reason, the disconnect packet and the connection's end. Half of the clients are on WebSocket, half on long-polling.
func runFarewell(ctx context.Context, j *job.Job) (job.Figures, error) {
	conn, err := dialControl(j)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	fw := &farewell{job: j, messages: salav1.NewMessageServiceClient(conn), sockets: salav1.NewSocketServiceClient(conn)}
	if fw.clients, err = newClients(ctx, j, func(int) []string { return nil }); err != nil {
		return nil, err
	}
	if fw.dialer, err = newDialer(j.Target.Listen); err != nil {
		return nil, err
	}
	broken := 0
	var failure error
	for first := 0; first < j.Clients; first += crowd {
		failures, err := fw.round(ctx, first, min(crowd, j.Clients-first))
		if err != nil {
			return nil, err
		}
		broken += len(failures)
		if failure == nil && len(failures) > 0 {
			failure = failures[0]
		}
	}
	f := job.Figures{job.Clients: float64(j.Clients), job.Broken: float64(broken)}
	if failure != nil {
		return f, fmt.Errorf("%d of %d clients, the first of them: %w", broken, j.Clients, failure)
	}
	return f, nil
}

// round has some clients come and go. It returns what was wrong with what they got.
func (fw *farewell) round(ctx context.Context, first, n int) (failures []error, err error) {
	guests := make([]*guest, n)
	defer func() {
		for _, g := range guests {
			g.close()
		}
	}()
	err = inParallel(ctx, window, n, func(_ context.Context, i int) (err error) {
		guests[i], err = fw.arrive(first + i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	err = inParallel(authorized(ctx, fw.job), callers, n, func(ctx context.Context, i int) error {
		return fw.dismiss(ctx, guests[i], first+i)
	})
	if err != nil {
		return nil, err
	}
	results := make([]error, n)
	err = inParallel(ctx, window, n, func(_ context.Context, i int) error {
		results[i] = guests[i].check(first + i)
		return nil
	})
	for _, result := range results {
		if result != nil {
			failures = append(failures, result)
		}
	}
	return failures, err
}

// arrive connects a client: every other over WebSocket, and every other of the rest with a poll pending.
func (fw *farewell) arrive(i int) (g *guest, err error) {
	g = &guest{}
	if i%2 == 0 {
		g.socket, g.id, err = openSocket(fw.dialer, fw.clients[i])
		return g, err
	}
	if g.polls, g.id, err = openPolling(fw.dialer, fw.clients[i]); err != nil {
		return g, err
	}
	if g.polling = i%4 == 1; g.polling {
		err = g.polls.ask()
	}
	return g, err
}

func (g *guest) close() {
	switch {
	case g == nil:
	case g.socket != nil:
		g.socket.close()
	case g.polls != nil:
		g.polls.close()
	}
}

// dismiss emits to the client, over a stream or by a call, and disconnects it as soon as that is answered.
func (fw *farewell) dismiss(ctx context.Context, g *guest, i int) error {
	emit := &salav1.EmitRequest{Sockets: []string{g.id}, Event: event, ArgsJson: fmt.Sprintf("[%d]", i)}
	var err error
	if i%8 < 4 {
		err = fw.emitByStream(ctx, emit)
	} else {
		_, err = fw.messages.Emit(ctx, emit)
	}
	if err != nil {
		return fmt.Errorf("emitting: %w", err)
	}
	answer, err := fw.sockets.Disconnect(ctx, &salav1.DisconnectRequest{
		Selector: &salav1.Selector{Sockets: []string{g.id}}, Reason: whyFarewell,
	})
	if err != nil {
		return fmt.Errorf("disconnecting: %w", err)
	}
	if answer.GetMatched() != 1 {
		return fmt.Errorf("disconnecting a socket that was there: %d matched", answer.GetMatched())
	}
	return nil
}

func (fw *farewell) emitByStream(ctx context.Context, emit *salav1.EmitRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := fw.messages.EmitStream(ctx)
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

// check reads all that the client got and compares it with what it should have got.
func (g *guest) check(i int) error {
	want := []string{
		fmt.Sprintf(`42["%s",%d]`, event, i),
		`42["sala:disconnect",{"code":"DISCONNECTED","reason":"` + whyFarewell + `"}]`,
		"41",
	}
	var got []string
	var err error
	if g.socket != nil {
		got, err = g.readSocket()
		want = append(want, "a close frame", "the end")
	} else {
		got, err = g.readPolls()
		want = append(want, closePacket, "the end")
	}
	if text, wanted := strings.Join(got, " "), strings.Join(want, " "); text != wanted || err != nil {
		return errors.Join(fmt.Errorf("got %s, want %s", text, wanted), err)
	}
	return nil
}

// closePacket is Engine.IO's.
const closePacket = "1"

// maxPackets bounds what a client reads before it gives up.
const maxPackets = 10

func (g *guest) readSocket() (got []string, err error) {
	for len(got) < maxPackets {
		opcode, payload, err := g.socket.frame()
		switch {
		case errors.Is(err, io.EOF):
			return append(got, "the end"), nil
		case err != nil:
			return got, err
		case opcode == opClose:
			if last := len(got) - 1; last >= 0 && got[last] == closePacket { // the protocol leaves that to the server
				got = got[:last]
			}
			got = append(got, "a close frame")
			if _, err := g.socket.Write(appendMasked(nil, opClose, bytes.Clone(payload))); err != nil {
				return got, err
			}
		default:
			got = append(got, string(payload))
		}
	}
	return got, nil
}

func (g *guest) readPolls() (got []string, err error) {
	for len(got) < maxPackets {
		if !g.polling {
			if err := g.polls.ask(); err != nil {
				return got, err
			}
		}
		g.polling = false
		payload, err := g.polls.answer()
		if err != nil {
			if len(got) > 0 && got[len(got)-1] == closePacket { // the session is gone
				return append(got, "the end"), nil
			}
			return got, err
		}
		got = append(got, strings.Split(string(payload), separator)...)
	}
	return got, nil
}
