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

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// Whatever happens to a socket at whatever moment, it counts once, and no socket
// keeps a request.
func TestEverySocketIsCountedOnce(t *testing.T) {
	for round := range 200 {
		const n = 50
		sockets := make([]*socket, n)
		for i := range sockets {
			sockets[i] = &socket{id: "s", user: "u"}
		}
		r := newAckRequest(uint64(round), n, rand.IntN(2)*n/2, newLatencyMetrics())
		var clients sync.WaitGroup
		for _, s := range sockets {
			s.gone.Store(rand.IntN(10) == 0)
			if !s.expectAck(r) {
				r.settle(disconnected)
				continue
			}
			fates := []func(){
				func() {
					s.receiveAck(&socketio.Packet{ID: r.id, Payload: socketio.Payload{Args: json.RawMessage("[]")}})
				},
				func() { s.gone.Store(true); s.loseAcks() },
				func() { s.forgetAck(r, dropped) },
			}
			for range rand.IntN(4) { // several at once, or none
				clients.Go(fates[rand.IntN(len(fates))])
			}
		}
		passed := 0
		each := func(Ack) error { passed++; return nil }
		late, err := r.wait(t.Context(), time.Duration(rand.IntN(300))*time.Microsecond, each)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sockets {
			s.forgetAck(r, timedOut)
		}
		summary := r.localSummary()
		clients.Wait()
		if after := r.localSummary(); !reflect.DeepEqual(after, summary) {
			t.Fatalf("the summary %+v changes after the end to %+v", summary, after)
		}
		if err := r.passOn(each); err != nil || passed != summary.Answered {
			t.Fatalf("%d acks are passed on, %+v (%v)", passed, summary, err)
		}
		if sum := summary.Answered + summary.TimedOut + summary.Disconnected + summary.Dropped; sum != summary.Expected || r.left != 0 {
			t.Fatalf("late %t: the parts of %+v are %d in all, %d are left", late, summary, sum, r.left)
		}
		for _, s := range sockets {
			if s.acks != nil {
				t.Fatal("a socket still holds the request")
			}
		}
	}
}

// Two sockets that are asked at the same time don't answer for each other.
func TestAcksBelongToTheirSocket(t *testing.T) {
	a, b := &socket{id: "a"}, &socket{id: "b"}
	first, second := newAckRequest(1, 1, 0, newLatencyMetrics()), newAckRequest(2, 1, 0, newLatencyMetrics())
	if !a.expectAck(first) || !b.expectAck(second) {
		t.Fatal("a socket doesn't take a request")
	}
	if a.receiveAck(&socketio.Packet{ID: 2}) || b.receiveAck(&socketio.Packet{ID: 1}) {
		t.Error("a socket answers the request of another one")
	}
	if !a.receiveAck(&socketio.Packet{ID: 1}) || a.receiveAck(&socketio.Packet{ID: 1}) {
		t.Error("an ack isn't taken exactly once")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := second.wait(ctx, time.Minute, nil); err == nil {
		t.Error("waiting doesn't end with its context")
	}
}

// A caller that lets acks pile up gets an error, and they are dropped.
func TestSlowCallerIsCut(t *testing.T) {
	const half = maxAckBytes / 2
	text := json.RawMessage(make([]byte, half-1))
	r := newAckRequest(1, 4, 0, newLatencyMetrics())
	s := &socket{id: "s"}
	keep := func(Ack) error { return nil }
	r.receive(s, socketio.Payload{Args: text, Attachments: [][]byte{{1}}})
	r.receive(s, socketio.Payload{Args: text, Attachments: [][]byte{{1}}})
	if err := r.passOn(keep); err != nil {
		t.Fatalf("at the limit: %v", err)
	}
	for range 2 {
		r.receive(s, socketio.Payload{Args: text, Attachments: [][]byte{{1, 2}}})
	}
	if len(r.acks) != 1 || r.summary.Answered != 4 {
		t.Errorf("%d acks are kept of %d", len(r.acks), r.summary.Answered)
	}
	var failed *Error
	if err := r.passOn(keep); !errors.As(err, &failed) || failed.Reason != ReasonSlowCaller {
		t.Errorf("over the limit: %v", err)
	}
}

func TestPendingAcksAreBounded(t *testing.T) {
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
		_, err := b.EmitWithAck(t.Context(), Target{Everyone: true}, Message{Event: "r"}, AckOptions{Owner: owner}, nil)
		return err
	}
	share := b.pendingAcks.Share()
	if !b.pendingAcks.Take("greedy", share-1) {
		t.Fatal("the share can't be taken")
	}
	if err := ask("greedy"); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if !b.pendingAcks.Take("greedy", 1) {
		t.Error("the call has left something behind")
	}
	var failed *Error
	if err := ask("greedy"); !errors.As(err, &failed) || failed.Reason != ReasonTooManyAcks {
		t.Errorf("over the limit: %v", err)
	}
	if err := ask("modest"); err != nil {
		t.Errorf("another owner: %v", err)
	}
	b.pendingAcks.Give("greedy", share)
	if n := b.pendingAcks.Used(); n != 0 {
		t.Errorf("%d are left behind", n)
	}
	b.namespaces["/"].index.Remove(s)
}

// The acks that an owner hasn't taken are bounded, and don't affect other owners.
func TestUnreadAcksAreBounded(t *testing.T) {
	b := &Broker{unreadAcks: ratelimit.NewShares(100), metrics: newMetrics(nil)}
	s := &socket{id: "s"}
	text := socketio.Payload{Args: json.RawMessage(make([]byte, 20))}
	first, second, other := b.newAckRequest("greedy", 4, 0), b.newAckRequest("greedy", 4, 0), b.newAckRequest("modest", 4, 0)
	for _, r := range []*ackRequest{first, second, other} {
		r.receive(s, text)
	}
	second.receive(s, text) // one too many
	var failed *Error
	keep := func(Ack) error { return nil }
	if err := second.passOn(keep); !errors.As(err, &failed) || failed.Reason != ReasonSlowCaller {
		t.Errorf("over the share: %v", err)
	}
	other.receive(s, text)
	for _, r := range []*ackRequest{first, other} {
		if err := r.passOn(keep); err != nil {
			t.Errorf("within it: %v", err)
		}
	}
	for _, r := range []*ackRequest{first, second, other} {
		r.receive(s, text)
		r.discard()
		r.receive(s, text)
	}
	if n := b.unreadAcks.Used(); n != 0 {
		t.Errorf("%d bytes are left behind", n)
	}
}

// Whatever other nodes report, in any order, twice or not at all, counts once, and
// sockets that are missing count as disconnected.
func TestAcksOfOtherNodes(t *testing.T) {
	acks := func(n int) []*wire.Ack {
		all := make([]*wire.Ack, n)
		for i := range all {
			all[i] = &wire.Ack{Socket: "s", Args: json.RawMessage("[]")}
		}
		return all
	}
	const a, b = cluster.NodeID("AAAAAAAAAA"), cluster.NodeID("BBBBBBBBBB")
	for name, tt := range map[string]struct {
		report func(*ackRequest)
		late   bool
		want   AckSummary
		done   bool
		short  []cluster.NodeID
	}{
		"the count first": {
			report: func(r *ackRequest) {
				r.nodeStarted(a, &wire.Count{Matched: 3})
				r.receiveFrom(a, &wire.Acks{Expected: 3, Acks: acks(1)})
				r.receiveFrom(a, &wire.Acks{Expected: 3, Acks: acks(1), Rest: &wire.Unacked{TimedOut: 1}})
				r.nodeStarted(b, &wire.Count{})
			},
			want: AckSummary{Expected: 3, Answered: 2, TimedOut: 1}, done: true,
		},
		"the count last": {
			report: func(r *ackRequest) {
				r.receiveFrom(a, &wire.Acks{Expected: 2, Acks: acks(1), Rest: &wire.Unacked{Disconnected: 1}})
				r.nodeStarted(a, &wire.Count{Matched: 2})
				r.receiveFrom(a, &wire.Acks{Expected: 2, Acks: acks(2)}) // after its end
			},
			want: AckSummary{Expected: 2, Answered: 1, Disconnected: 1}, done: true,
		},
		"more than there can be": {
			report: func(r *ackRequest) {
				r.receiveFrom(a, &wire.Acks{Expected: 2, Acks: acks(5), Rest: &wire.Unacked{TimedOut: 7, Dropped: 9}})
			},
			want: AckSummary{Expected: 2, Answered: 2}, done: true,
		},
		"acks that were lost": {
			report: func(r *ackRequest) {
				r.receiveFrom(a, &wire.Acks{Expected: 4, Acks: acks(1), Rest: &wire.Unacked{Dropped: 1}})
			},
			want: AckSummary{Expected: 4, Answered: 1, Dropped: 1, Disconnected: 2}, done: true, short: []cluster.NodeID{a},
		},
		"a node that refuses": {
			report: func(r *ackRequest) { r.nodeStarted(a, &wire.Count{Matched: 3, Refused: 3}) },
			want:   AckSummary{Expected: 3, Dropped: 3}, done: true,
		},
		"a node that is lost": {
			report: func(r *ackRequest) {
				r.nodeStarted(a, &wire.Count{Matched: 2})
				r.receiveFrom(a, &wire.Acks{Expected: 2, Acks: acks(1)})
				r.lose(a)
				r.lose(b) // which isn't asked
				r.receiveFrom(a, &wire.Acks{Expected: 2, Acks: acks(1)})
			},
			want: AckSummary{Expected: 2, Answered: 1, Disconnected: 1}, done: true, short: []cluster.NodeID{a},
		},
		"a node that is late": {
			report: func(r *ackRequest) { r.nodeStarted(a, &wire.Count{Matched: 2}) },
			late:   true,
			want:   AckSummary{Expected: 2, Disconnected: 2}, short: []cluster.NodeID{a},
		},
		"a node that the caller doesn't wait for": {
			report: func(r *ackRequest) { r.nodeStarted(a, &wire.Count{Matched: 2}) },
			want:   AckSummary{Expected: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAckRequest(1, 0, 0, newLatencyMetrics())
			tt.report(r)
			if r.done() != tt.done {
				t.Errorf("done is %v", r.done())
			}
			var sum AckSummary
			complete, _ := r.endNodes(tt.late, &sum)
			var short []cluster.NodeID
			for node, ok := range complete {
				if !ok {
					short = append(short, node)
				}
			}
			passed := r.take()
			if !reflect.DeepEqual(sum, tt.want) || len(passed) != sum.Answered || !reflect.DeepEqual(short, tt.short) {
				t.Errorf("the sum is %+v with %d acks, short of %v", sum, len(passed), short)
			}
		})
	}
}
