package eventhub

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// connect is the event of a socket that wants to connect.
var connect = &Event{Kind: Connect, Namespace: "/", Socket: &Socket{ID: "s"}}

// decideAll starts Decide and waits until the members are asked.
func decideAll(h *Hub, gone <-chan struct{}) <-chan string {
	made := make(chan string, 1)
	go func() {
		d, err := h.Decide(connect, gone)
		switch {
		case err != nil:
			made <- err.Error()
		case d.Refusal != nil:
			made <- "refused " + d.Refusal.Code
		default:
			made <- fmt.Sprint("accepted ", d.Rooms, " ", string(d.Data))
		}
	}()
	synctest.Wait()
	return made
}

func TestDecide(t *testing.T) {
	accept := func(data string, rooms ...string) Decision {
		return Decision{Rooms: rooms, Data: json.RawMessage(data)}
	}
	refuse := Decision{Refusal: &Failure{Code: "BANNED"}}
	for _, tt := range []struct {
		name      string
		decisions []Decision // of the groups, in their order
		groups    int
		want      string
	}{
		{"accepted", []Decision{accept("")}, 1, "accepted [] "},
		{"rooms and data", []Decision{accept("1", "a", "b"), accept(""), accept("2", "b", "c")}, 3, "accepted [a b c] 2"},
		{"refused at last", []Decision{accept(""), refuse}, 2, "refused BANNED"},
		{"refused at first", []Decision{refuse}, 2, "refused BANNED"},
		{"silence", nil, 1, ErrUndecided.Error()},
		{"half silence", []Decision{accept("")}, 2, ErrUndecided.Error()},
		{"nobody", nil, 0, ErrNobodyDecides.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t, Options{})
				listener := subscribe(t, h, SubscribeOptions{Credits: 10})
				var deciders []*Subscription
				for i := range tt.groups {
					group := fmt.Sprint("g", i)
					deciders = append(deciders, subscribe(t, h, SubscribeOptions{Group: group, Decide: true, Credits: 10}))
					subscribe(t, h, SubscribeOptions{Group: group, Credits: 10}) // a member that doesn't decide
				}
				start := time.Now()
				made := decideAll(h, nil)
				var ids []uint64
				for _, s := range deciders {
					d := wantTaken(t, s, "s.?")[0]
					if !d.NeedsDecision || d.NeedsAck {
						t.Errorf("the delivery is %+v", d)
					}
					ids = append(ids, d.ID)
				}
				for i, d := range tt.decisions {
					wantReason(t, deciders[i].Reply(ids[i], Reply{}), ReasonDeliveryMismatch)
					if err := deciders[i].Decide(ids[i], d); err != nil {
						t.Fatal(err)
					}
					wantReason(t, deciders[i].Decide(ids[i], d), ReasonDeliveryAnswered)
					synctest.Wait()
				}
				if got := <-made; got != tt.want {
					t.Errorf("Decide: %q, want %q", got, tt.want)
				}
				if took := time.Since(start); took != 0 && took != 5*time.Second {
					t.Errorf("it took %s", took)
				}
				for i, s := range deciders[len(tt.decisions):] {
					synctest.Wait()
					wantReason(t, s.Decide(ids[len(tt.decisions)+i], Decision{}), ReasonDeliveryExpired)
				}
				wantTaken(t, listener, "")
			})
		})
	}
}

// Another member is asked when one ends, but not once it is too late.
func TestDecideWithoutMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Options{})
		first := subscribe(t, h, SubscribeOptions{Group: "g", Decide: true, Credits: 10})
		made := decideAll(h, nil)
		wantTaken(t, first, "s.?")
		second := subscribe(t, h, SubscribeOptions{Group: "g", Decide: true, Credits: 1})
		first.Close()
		wantTaken(t, second, "s.?!")
		other := decideAll(h, nil)
		second.Close()
		if got := <-made; got != ErrUndecided.Error() {
			t.Errorf("Decide: %q", got)
		}
		if got := <-other; got != ErrUndecided.Error() {
			t.Errorf("Decide: %q", got)
		}

		late := subscribe(t, h, SubscribeOptions{Group: "g", Decide: true})
		gone := make(chan struct{})
		made = decideAll(h, gone)
		close(gone)
		if got := <-made; got != ErrUndecided.Error() {
			t.Errorf("Decide: %q", got)
		}
		_ = late.Credit(1)
		wantTaken(t, late, "") // it is too late to decide
		h.Publish(connect)
		wantTaken(t, late, "s.") // the question didn't use the credit
	})
}

func TestNobodyDecidesInNamespace(t *testing.T) {
	h := newHub(t, Options{})
	subscribe(t, h, SubscribeOptions{Decide: true, Filter: Filter{Namespaces: []string{"/other"}}, Credits: 1})
	if _, err := h.Decide(connect, nil); !errors.Is(err, ErrNobodyDecides) || h.Decides("/") {
		t.Errorf("Decide: %v", err)
	}
	if !h.Decides("/other") {
		t.Error("Decides doesn't see the subscription")
	}
}
