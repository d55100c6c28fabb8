package eventhub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counts is an observer that counts.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) count(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what] += n
}

func (c *counts) SubscriptionOpened()              { c.count("opened", 1) }
func (c *counts) SubscriptionClosed(reason string) { c.count("closed "+reason, 1) }
func (c *counts) EventsDelivered(kind Kind, redelivered bool, n int) {
	c.count(fmt.Sprintf("delivered %s %t", kind, redelivered), n)
}
func (c *counts) EventLost(kind Kind, reason string) { c.count("lost "+kind.String()+" "+reason, 1) }
func (c *counts) QuestionEnded(kind Kind, reason string, _ time.Duration) {
	c.count("ended "+kind.String()+" "+reason, 1)
}

func (c *counts) want(t *testing.T, want map[string]int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for what, n := range want {
		if c.n[what] != n {
			t.Errorf("%q was counted %d times, want %d; all: %v", what, c.n[what], n, c.n)
		}
	}
}

func newHub(t *testing.T, o Options) *Hub {
	t.Helper()
	h := New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.Close(ctx)
	})
	return h
}

func subscribe(t *testing.T, h *Hub, o SubscribeOptions) *Subscription {
	t.Helper()
	s, err := h.Subscribe(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// message is an event that a client sends.
func message(socket, name string) *Event {
	return &Event{Kind: Message, Namespace: "/", Socket: &Socket{ID: socket, Namespace: "/"}, Name: name, Args: json.RawMessage(`[1]`)}
}

// take returns all deliveries that can be taken, ten at a time.
func take(t *testing.T, s *Subscription) []Delivery {
	t.Helper()
	var all []Delivery
	for {
		var some [10]Delivery
		n, err := s.Take(some[:])
		if err != nil {
			t.Fatalf("Take: %v", err)
		}
		if n == 0 {
			return all
		}
		all = append(all, some[:n]...)
	}
}

// names lists deliveries: the socket and the event's name, with "?" if it needs an answer and "!" if
// it is redelivered.
func names(deliveries []Delivery) string {
	var all []string
	for _, d := range deliveries {
		name := d.Event.Name + d.Event.Room
		if d.Event.Socket != nil {
			name = d.Event.Socket.ID + "." + name
		}
		if d.NeedsAck || d.NeedsDecision {
			name += "?"
		}
		if d.Redelivered {
			name += "!"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func wantTaken(t *testing.T, s *Subscription, want string) []Delivery {
	t.Helper()
	got := take(t, s)
	if names(got) != want {
		t.Errorf("taken: %q, want %q", names(got), want)
	}
	return got
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != reason || failed.Message == "" {
		t.Errorf("the error is %v (%#v), want the reason %s", err, err, reason)
	}
}

// wantEnded checks why a subscription has ended.
func wantEnded(t *testing.T, s *Subscription, reason string) {
	t.Helper()
	select {
	case <-s.Done():
	default:
		t.Errorf("it has not ended, want %s", reason)
	}
	_, err := s.Take(make([]Delivery, 1))
	wantReason(t, err, reason)
}

// asked collects the replies to questions, by the question's name.
type asked struct {
	mu      sync.Mutex
	replies map[string][]Reply
}

func (a *asked) hook(name string) func(Reply) {
	return func(r Reply) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.replies == nil {
			a.replies = map[string][]Reply{}
		}
		a.replies[name] = append(a.replies[name], r)
	}
}

// want checks how a question ended: with arguments, with "!CODE", or with "" not yet.
func (a *asked) want(t *testing.T, name, want string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	var got []string
	for _, r := range a.replies[name] {
		if r.Error != nil {
			got = append(got, "!"+r.Error.Code)
		} else {
			got = append(got, string(r.Args))
		}
	}
	if strings.Join(got, " then ") != want {
		t.Errorf("%s was answered %q, want %q", name, got, want)
	}
}

// pass lets time pass in a bubble, and all goroutines do what is due.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
