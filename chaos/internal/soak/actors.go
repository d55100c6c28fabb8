package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/chaos/internal/attacks"
	"github.com/salabroker/sala/chaos/internal/connections"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// visitsAtOnce is how many clients come and go at a time.
	visitsAtOnce = 40
	// longestVisit is how long one of them stays at most.
	longestVisit = 2 * time.Second
	// visitorsRoom is the room of all of them.
	visitorsRoom = "dropped"
	// revokedUsers is how many users' tokens are revoked in turn: the server remembers each
	// revocation for long.
	revokedUsers = 50
	// rooms is how many rooms there are to join and leave.
	rooms = 50
	// stalledMessage is the size of the messages to clients that do not read.
	stalledMessage = 8 << 10
	// frozenFor is for how long the server's process is stopped, as a busy host stops a virtual
	// machine.
	frozenFor = 300 * time.Millisecond
	// disconnectPacket ends a socket.
	disconnectPacket = "41"
)

// startActors starts all actors. They act until acting ends; what they have begun goes on until ctx
// ends.
func (r *run) startActors(acting, ctx context.Context) {
	for range visitsAtOnce {
		r.repeat(acting, figureVisits, 50*time.Millisecond, func() error { return r.visit(acting) })
	}
	r.repeat(acting, figureStalled, 5*time.Second, func() error { return r.stall(ctx) })
	r.repeat(acting, figureAttacks, 5*time.Second, func() error { return r.attack(ctx) })
	r.repeat(acting, figureSubscribes, 2*time.Second, func() error { return r.subscribe(ctx) })
	r.repeat(acting, figureChanges, 100*time.Millisecond, func() error { return r.changeMembership(r.target.Authorize(ctx)) })
	r.repeat(acting, figureRevoked, time.Second, func() error { return r.revoke(r.target.Authorize(ctx)) })
	r.repeat(acting, figureAckEmits, 500*time.Millisecond, func() error { return r.emitWithAck(ctx) })
	r.repeat(acting, figureFreezes, 20*time.Second, r.freeze)
	r.repeat(acting, scenario.Asked, 5*time.Millisecond, r.watchers.SendEvent)
	for i, open := range []func(context.Context) (emitter, error){r.byCall, r.byStream, r.byREST} {
		r.actors.Go(func() {
			if err := r.emit(acting, ctx, i, open); err != nil {
				r.fail(fmt.Errorf("emitting: %w", err))
			}
		})
	}
}

// emitter is a way to emit to all watchers.
type emitter struct {
	emit  func(payload []byte) error
	close func() error
}

// emit emits numbered messages to all watchers as one of the publishers.
func (r *run) emit(acting, ctx context.Context, publisher int, open func(context.Context) (emitter, error)) error {
	e, err := open(ctx)
	if err != nil {
		return err
	}
	for n := uint64(1); load.Sleep(acting, 50*time.Millisecond) == nil; n++ {
		if err := e.emit(observe.NewMessage(publisher, n)); err != nil {
			_ = e.close() // the first error counts
			return err
		}
		r.watchers.Sent(publisher, n)
		r.count(figureEmitted)
	}
	return e.close()
}

func (r *run) byCall(ctx context.Context) (emitter, error) {
	messages := salav1.NewMessageServiceClient(r.Control)
	return emitter{
		emit: func(payload []byte) error {
			_, err := messages.Emit(r.target.Authorize(ctx), load.NewEmit(load.Everyone, payload))
			return err
		},
		close: func() error { return nil },
	}, nil
}

func (r *run) byStream(ctx context.Context) (emitter, error) {
	p, err := load.NewEmitStream(ctx, r.target)
	if err != nil {
		return emitter{}, err
	}
	return emitter{
		emit: func(payload []byte) error { return p.Publish([]line.Message{{Room: load.Everyone, Payload: payload}}) },
		close: func() error {
			dropped, err := p.Close()
			if err == nil && dropped > 0 {
				err = fmt.Errorf("%d were not queued", dropped)
			}
			return err
		},
	}, nil
}

func (r *run) byREST(ctx context.Context) (emitter, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: load.HandshakeTimeout}
	return emitter{
		emit: func(payload []byte) error { return load.PostEmit(ctx, client, r.target, load.Everyone, payload) },
		close: func() error {
			client.CloseIdleConnections()
			return nil
		},
	}, nil
}

// randomVisitor returns a client that may come.
func (r *run) randomVisitor() load.Client { return r.visitors[rand.IntN(len(r.visitors))] }

// visit has a client come in a random state, and vanish without a word.
func (r *run) visit(acting context.Context) error {
	states := connections.States()
	state := states[rand.IntN(len(states))]
	conns, err := state.Open(r.dialer, r.randomVisitor())
	if err != nil {
		return fmt.Errorf("%s: %w", state.Name, err)
	}
	_ = load.Sleep(acting, rand.N(longestVisit)) // shorter at the end of the soak
	state.Close(conns)
	return nil
}

// stall has a client not read until the server has disconnected it.
func (r *run) stall(ctx context.Context) error {
	conn, id, err := load.OpenSocket(r.slow, r.randomVisitor())
	if err != nil {
		return err
	}
	defer conn.Close()
	messages := salav1.NewMessageServiceClient(r.Control)
	request := &salav1.EmitRequest{Sockets: []string{id}, Event: load.EmitEvent, ArgsJson: `["` + strings.Repeat("x", stalledMessage) + `"]`}
	for begin := time.Now(); time.Since(begin) < r.Timeout; {
		answer, err := messages.Emit(r.target.Authorize(ctx), request)
		if err != nil || answer.GetMatched() == 0 {
			return err
		}
		if err := load.Sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("a client that does not read is still connected after %v", r.Timeout)
}

// attack carries out a random attack for a moment.
func (r *run) attack(ctx context.Context) error {
	a, err := attacks.NewRandomAttacker(ctx, r.target, r.hostile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rand.N(5*time.Second))
	defer cancel()
	a.Run(ctx)
	return nil
}

// subscribe has a backend come and go.
func (r *run) subscribe(ctx context.Context) error {
	b, err := load.NewBackend(ctx, r.target)
	if err != nil {
		return err
	}
	if err := load.Sleep(ctx, rand.N(5*time.Second)); err != nil {
		return err
	}
	return b.Close()
}

// changeMembership has the watchers, or the visitors, join or leave a room, or clears one.
func (r *run) changeMembership(ctx context.Context) error {
	room := "soak-" + strconv.Itoa(rand.IntN(rooms))
	selector := &salav1.Selector{Rooms: []string{[]string{load.Everyone, visitorsRoom}[rand.IntN(2)]}}
	var err error
	switch rand.IntN(5) {
	case 0, 1:
		_, err = salav1.NewSocketServiceClient(r.Control).Join(ctx, &salav1.JoinRequest{Selector: selector, Rooms: []string{room}})
	case 2, 3:
		_, err = salav1.NewSocketServiceClient(r.Control).Leave(ctx, &salav1.LeaveRequest{Selector: selector, Rooms: []string{room}})
	default:
		_, err = salav1.NewRoomServiceClient(r.Control).ClearRoom(ctx, &salav1.ClearRoomRequest{Room: room})
	}
	return err
}

// revoke connects a client and revokes its token. The server must disconnect it.
func (r *run) revoke(ctx context.Context) error {
	r.mu.Lock()
	user := "revoked-" + strconv.Itoa(int(r.figures[figureRevoked])%revokedUsers)
	r.mu.Unlock()
	tokens := salav1.NewTokenServiceClient(r.Control)
	issued, err := tokens.IssueToken(ctx, &salav1.IssueTokenRequest{User: user})
	if err != nil {
		return err
	}
	conn, _, err := load.OpenSocket(r.dialer, load.Client{Token: issued.GetToken()})
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := tokens.RevokeTokens(ctx, &salav1.RevokeTokensRequest{User: user})
	if err != nil {
		return err
	}
	if answer.GetDisconnected() != 1 {
		return fmt.Errorf("revoking a token disconnected %d clients, not 1", answer.GetDisconnected())
	}
	for {
		opcode, payload, err := conn.ReadFrame()
		if opcode == load.OpClose || slices.Equal(payload, []byte(disconnectPacket)) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// emitWithAck asks all watchers for acks, and wants all of them.
func (r *run) emitWithAck(ctx context.Context) error {
	stream, err := salav1.NewMessageServiceClient(r.Control).EmitWithAck(r.target.Authorize(ctx), &salav1.EmitWithAckRequest{
		Rooms: []string{load.Everyone}, Event: "question", ArgsJson: "[1]",
	})
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		if summary := answer.GetSummary(); summary != nil {
			if int(summary.GetAnswered()) != r.Watchers {
				return fmt.Errorf("%d clients were asked for an ack, with the result %v", r.Watchers, summary)
			}
			return nil
		}
	}
}

// freeze stops the server's process for a moment.
func (r *run) freeze() error {
	if err := unix.Kill(r.target.PID, unix.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(frozenFor) // even if the soak ends meanwhile: the process must go on
	return unix.Kill(r.target.PID, unix.SIGCONT)
}
