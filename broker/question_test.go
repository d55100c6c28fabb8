package broker

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// Whatever happens to a socket at whatever moment, it is counted once, and
// nothing of a question stays behind.
func TestEverySocketIsCountedOnce(t *testing.T) {
	for round := range 200 {
		const n = 50
		sockets := make([]*socket, n)
		for i := range sockets {
			sockets[i] = &socket{id: "s", user: "u"}
		}
		q := newQuestion(uint64(round), n, rand.IntN(2)*n/2)
		var clients sync.WaitGroup
		for _, s := range sockets {
			s.gone.Store(rand.IntN(10) == 0)
			if !s.expect(q) {
				q.without(disconnected)
				continue
			}
			fates := []func(){
				func() { s.answer(&socketio.Packet{ID: q.id, Payload: socketio.Payload{Args: json.RawMessage("[]")}}) },
				func() { s.gone.Store(true); s.leaveUnanswered() },
				func() { s.forget(q, dropped) },
			}
			for range rand.IntN(4) { // several at once, or none
				clients.Go(fates[rand.IntN(len(fates))])
			}
		}
		passed := 0
		each := func(Ack) error { passed++; return nil }
		late, err := q.wait(t.Context(), time.Duration(rand.IntN(300))*time.Microsecond, each)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sockets {
			s.forget(q, timedOut)
		}
		summary := q.end()
		clients.Wait()
		if after := q.end(); !reflect.DeepEqual(after, summary) {
			t.Fatalf("the summary %+v changes after the end to %+v", summary, after)
		}
		if err := q.passOn(each); err != nil || passed != summary.Answered {
			t.Fatalf("%d answers are passed on, %+v (%v)", passed, summary, err)
		}
		if sum := summary.Answered + summary.TimedOut + summary.Disconnected + summary.Dropped; sum != summary.Expected || q.left != 0 {
			t.Fatalf("late %t: the parts of %+v are %d in all, %d are left", late, summary, sum, q.left)
		}
		for _, s := range sockets {
			if s.questions != nil {
				t.Fatal("a socket still holds the question")
			}
		}
	}
}

// Two sockets that are asked at once don't answer for each other.
func TestAnswersBelongToTheirSocket(t *testing.T) {
	a, b := &socket{id: "a"}, &socket{id: "b"}
	first, second := newQuestion(1, 1, 0), newQuestion(2, 1, 0)
	if !a.expect(first) || !b.expect(second) {
		t.Fatal("a socket doesn't take a question")
	}
	if a.answer(&socketio.Packet{ID: 2}) || b.answer(&socketio.Packet{ID: 1}) {
		t.Error("a socket answers what another was asked")
	}
	if !a.answer(&socketio.Packet{ID: 1}) || a.answer(&socketio.Packet{ID: 1}) {
		t.Error("an answer isn't taken exactly once")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := second.wait(ctx, time.Minute, nil); err == nil {
		t.Error("waiting doesn't end with its context")
	}
}

// A caller that lets the answers pile up is told so, and they are not kept.
func TestSlowCallerIsCut(t *testing.T) {
	const half = maxAckBytes / 2
	text := json.RawMessage(make([]byte, half-1))
	q := newQuestion(1, 4, 0)
	s := &socket{id: "s"}
	keep := func(Ack) error { return nil }
	q.answer(s, socketio.Payload{Args: text, Attachments: [][]byte{{1}}})
	q.answer(s, socketio.Payload{Args: text, Attachments: [][]byte{{1}}})
	if err := q.passOn(keep); err != nil {
		t.Fatalf("at the limit: %v", err)
	}
	for range 2 {
		q.answer(s, socketio.Payload{Args: text, Attachments: [][]byte{{1, 2}}})
	}
	if len(q.answers) != 1 || q.summary.Answered != 4 {
		t.Errorf("%d answers are kept of %d", len(q.answers), q.summary.Answered)
	}
	var failed *Error
	if err := q.passOn(keep); !errors.As(err, &failed) || failed.Reason != ReasonSlowCaller {
		t.Errorf("over the limit: %v", err)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	ring, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(strings.Repeat("s", 32))}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Tokens: ring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	s := &socket{id: "s"}
	s.gone.Store(true) // it is found, and has nothing to answer with
	if err := b.namespaces["/"].index.Add(s, nil, func() {}); err != nil {
		t.Fatal(err)
	}
	ask := func(owner string) error {
		_, err := b.EmitWithAck(t.Context(), Target{Everyone: true}, Message{Event: "q"}, AckOptions{Owner: owner}, nil)
		return err
	}
	share := b.waiting.Share()
	if !b.waiting.Take("greedy", share-1) {
		t.Fatal("the share can't be taken")
	}
	if err := ask("greedy"); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if !b.waiting.Take("greedy", 1) {
		t.Error("the call has left something behind")
	}
	var failed *Error
	if err := ask("greedy"); !errors.As(err, &failed) || failed.Reason != ReasonTooManyAcks {
		t.Errorf("over the limit: %v", err)
	}
	if err := ask("modest"); err != nil {
		t.Errorf("another owner: %v", err)
	}
	b.waiting.Give("greedy", share)
	if n := b.waiting.Used(); n != 0 {
		t.Errorf("%d are left behind", n)
	}
	b.namespaces["/"].index.Remove(s)
}

// What an owner doesn't take of the answers to all its events is bounded, and is
// its own affair.
func TestUnreadAnswersAreBounded(t *testing.T) {
	b := &Broker{unread: ratelimit.NewShares(100)}
	s := &socket{id: "s"}
	text := socketio.Payload{Args: json.RawMessage(make([]byte, 20))}
	first, second, other := b.newQuestion("greedy", 4, 0), b.newQuestion("greedy", 4, 0), b.newQuestion("modest", 4, 0)
	for _, q := range []*question{first, second, other} {
		q.answer(s, text)
	}
	second.answer(s, text) // one too many
	var failed *Error
	keep := func(Ack) error { return nil }
	if err := second.passOn(keep); !errors.As(err, &failed) || failed.Reason != ReasonSlowCaller {
		t.Errorf("over the share: %v", err)
	}
	other.answer(s, text)
	for _, q := range []*question{first, other} {
		if err := q.passOn(keep); err != nil {
			t.Errorf("within it: %v", err)
		}
	}
	for _, q := range []*question{first, second, other} {
		q.answer(s, text)
		q.discard()
		q.answer(s, text)
	}
	if n := b.unread.Used(); n != 0 {
		t.Errorf("%d bytes are left behind", n)
	}
}
