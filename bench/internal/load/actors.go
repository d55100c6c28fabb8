package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/line"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// visitsAtOnce is how many clients come and go at a time.
	visitsAtOnce = 40
	// longestVisit is how long one stays.
	longestVisit = 2 * time.Second
	// revokedUsers is how many users' tokens are revoked, in turn: the server remembers each of them for long.
	revokedUsers = 50
	// soakRooms is how many rooms there are to join and leave.
	soakRooms = 50
)

// begin begins all actors. They act until acting ends; what they have begun goes on until ctx ends.
func (s *soak) begin(acting, ctx context.Context) {
	for range visitsAtOnce {
		s.act(acting, job.Visits, 50*time.Millisecond, func() error { return s.visit(acting) })
	}
	s.act(acting, job.Stayed, 5*time.Second, func() error { return s.stall(ctx) })
	s.act(acting, job.Attacked, 5*time.Second, func() error { return s.attack(ctx) })
	s.act(acting, job.Subscribes, 2*time.Second, func() error { return s.subscribeFor(ctx) })
	s.act(acting, job.Changed, 100*time.Millisecond, func() error { return s.change(authorized(ctx, s.job)) })
	s.act(acting, job.Revoked, time.Second, func() error { return s.revoke(authorized(ctx, s.job)) })
	s.act(acting, job.Questions, 500*time.Millisecond, func() error { return s.question(ctx) })
	s.act(acting, job.Freezes, 20*time.Second, s.freeze)
	s.act(acting, job.Asked, 5*time.Millisecond, s.watch.ask)
	for way, open := range []func(context.Context) (speech, error){s.byCall, s.byStream, s.byREST} {
		s.actors.Go(func() { s.speak(acting, ctx, way, open) })
	}
}

// speech is a way to emit.
type speech struct {
	say   func(payload []byte) error
	close func() error
}

// speak emits to everyone who watches, each message with the next number of its way.
func (s *soak) speak(acting, ctx context.Context, way int, open func(context.Context) (speech, error)) {
	speech, err := open(ctx)
	if err != nil {
		s.fail(err)
		return
	}
	for n := uint64(1); pause(acting, 50*time.Millisecond) == nil; n++ {
		if err := speech.say(newPayload(n<<8|uint64(way), 0)); err != nil {
			s.fail(fmt.Errorf("emitting: %w", err))
			break
		}
		s.watch.said(way, n)
		s.count(job.Emitted)
	}
	if err := speech.close(); err != nil {
		s.fail(fmt.Errorf("emitting: %w", err))
	}
}

func (s *soak) byCall(ctx context.Context) (speech, error) {
	messages := salav1.NewMessageServiceClient(s.control)
	return speech{
		say: func(payload []byte) error {
			_, err := messages.Emit(authorized(ctx, s.job), newEmit(everyone, payload))
			return err
		},
		close: func() error { return nil },
	}, nil
}

func (s *soak) byStream(ctx context.Context) (speech, error) {
	p, err := newStreamPublisher(ctx, s.job)
	if err != nil {
		return speech{}, err
	}
	return speech{
		say: func(payload []byte) error { return p.publish([]line.Message{{Room: everyone, Payload: payload}}) },
		close: func() error {
			rejected, err := p.close()
			if err == nil && rejected > 0 {
				err = fmt.Errorf("%d were not queued", rejected)
			}
			return err
		},
	}, nil
}

func (s *soak) byREST(ctx context.Context) (speech, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: handshakeTimeout}
	return speech{
		say: func(payload []byte) error { return postEmit(ctx, client, &s.job.Target, everyone, payload) },
		close: func() error {
			client.CloseIdleConnections()
			return nil
		},
	}, nil
}

// visit has a client come in one of the ways there are, and go without a word.
func (s *soak) visit(acting context.Context) error {
	way := ways[rand.IntN(len(ways))]
	streams, err := way.open(s.dialer, s.visitors[rand.IntN(len(s.visitors))])
	if err != nil {
		return fmt.Errorf("%s: %w", way.name, err)
	}
	_ = pause(acting, rand.N(longestVisit)) // or shorter, at the end
	for _, stream := range streams {
		if way.reset {
			stream.reset()
		} else {
			stream.close()
		}
	}
	return nil
}

// stall has a client not read until the server has given it up.
func (s *soak) stall(ctx context.Context) error {
	stream, id, err := openSocket(s.narrow, s.visitors[rand.IntN(len(s.visitors))])
	if err != nil {
		return err
	}
	defer stream.close()
	messages := salav1.NewMessageServiceClient(s.control)
	for begin := time.Now(); time.Since(begin) < s.job.Patience; {
		answer, err := messages.Emit(authorized(ctx, s.job), &salav1.EmitRequest{Sockets: []string{id}, Event: event, ArgsJson: "[" + string(flooding) + "]"})
		if err != nil || answer.GetMatched() == 0 {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("a client that does not read is still there after %v", s.job.Patience)
}

// attack carries out one attack for a moment.
func (s *soak) attack(ctx context.Context) error {
	i := rand.IntN(len(attacks))
	a, err := newAttacker(ctx, s.job, s.hostile, i)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rand.N(5*time.Second))
	defer cancel()
	a.run(ctx)
	return nil
}

// subscribeFor has a backend come and go.
func (s *soak) subscribeFor(ctx context.Context) error {
	b, err := newBackend(ctx, s.job)
	if err != nil {
		return err
	}
	if err := pause(ctx, rand.N(5*time.Second)); err != nil {
		return err
	}
	return b.close()
}

// change has those who watch, and everyone else, join and leave rooms.
func (s *soak) change(ctx context.Context) error {
	room := "soak-" + strconv.Itoa(rand.IntN(soakRooms))
	who := &salav1.Selector{Rooms: []string{[]string{everyone, dropped}[rand.IntN(2)]}}
	var err error
	switch rand.IntN(5) {
	case 0, 1:
		_, err = salav1.NewSocketServiceClient(s.control).Join(ctx, &salav1.JoinRequest{Selector: who, Rooms: []string{room}})
	case 2, 3:
		_, err = salav1.NewSocketServiceClient(s.control).Leave(ctx, &salav1.LeaveRequest{Selector: who, Rooms: []string{room}})
	default:
		_, err = salav1.NewRoomServiceClient(s.control).ClearRoom(ctx, &salav1.ClearRoomRequest{Room: room})
	}
	return err
}

// revoke has a client's token revoked, with which it must go.
func (s *soak) revoke(ctx context.Context) error {
	s.mu.Lock()
	user := "revoked-" + strconv.Itoa(int(s.figures[job.Revoked])%revokedUsers)
	s.mu.Unlock()
	tokens := salav1.NewTokenServiceClient(s.control)
	issued, err := tokens.IssueToken(ctx, &salav1.IssueTokenRequest{User: user})
	if err != nil {
		return err
	}
	stream, _, err := openSocket(s.dialer, client{token: issued.GetToken()})
	if err != nil {
		return err
	}
	defer stream.close()
	answer, err := tokens.RevokeTokens(ctx, &salav1.RevokeTokensRequest{User: user})
	if err == nil && answer.GetDisconnected() != 1 {
		err = fmt.Errorf("%d clients had to go, not 1", answer.GetDisconnected())
	}
	for err == nil {
		var opcode byte
		var payload []byte
		if opcode, payload, err = stream.frame(); opcode == opClose || slices.Equal(payload, []byte(disconnectPacket)) {
			return nil
		}
	}
	return err
}

// frozenInSoak is how long the server's process is stopped: as a busy host stops a virtual machine.
const frozenInSoak = 300 * time.Millisecond

func (s *soak) freeze() error {
	if err := unix.Kill(s.job.Target.PID, unix.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(frozenInSoak) // whatever else ends: it must go on
	return unix.Kill(s.job.Target.PID, unix.SIGCONT)
}
