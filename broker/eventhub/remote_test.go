package eventhub

import (
	"encoding/json"
	"testing"
)

// recorder is a transport that records the calls of the hub.
type recorder struct {
	remotes, sources int
	answers          []Answer
}

func (r *recorder) RemoteChanged(*Remote)        { r.remotes++ }
func (r *recorder) SourceChanged(*Source)        { r.sources++ }
func (r *recorder) Answered(_ *Source, a Answer) { r.answers = append(r.answers, a) }

// carry takes what a remote has and offers it to a source.
func carry(t *testing.T, r *Remote, s *Source) []Delivery {
	t.Helper()
	var into [10]Delivery
	n, err := r.Take(into[:])
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range into[:n] {
		if !s.Offer(d) {
			t.Errorf("delivery %d isn't accepted", d.ID)
		}
	}
	return into[:n]
}

// One hub hands a question to a subscription of another hub, and gets the answer, through nothing but
// a transport.
func TestTransport(t *testing.T) {
	near, far := newHub(t, Options{}), newHub(t, Options{})
	var toFar, toNear recorder
	o := SubscribeOptions{Group: "g", Credits: 10}
	sub := subscribe(t, far, o)
	remote, err := near.AddRemote(o, SubscriptionRef{"far", sub.ID()}, &toFar)
	if err != nil {
		t.Fatal(err)
	}
	source := sub.AddSource("near", &toNear)

	var replies asked
	near.Ask(message("s", "x"), replies.hook("x"))
	if toFar.remotes == 0 {
		t.Error("the transport doesn't know of the event")
	}
	carried := carry(t, remote, source)
	got := wantTaken(t, sub, "s.x?")
	if got[0].ID != carried[0].ID {
		t.Errorf("the other node hands out the id %d, want %d", got[0].ID, carried[0].ID)
	}
	if taken, ended := source.Progress(); taken != 1 || ended || toNear.sources == 0 {
		t.Errorf("taken are %d (ended: %t), the transport was told %d times", taken, ended, toNear.sources)
	}
	if err := sub.Reply(got[0].ID, Reply{Args: json.RawMessage(`[1]`)}); err != nil {
		t.Fatal(err)
	}
	for _, a := range toNear.answers {
		remote.Answer(a)
	}
	replies.want(t, "x", "[1]")
	wantReason(t, sub.Reply(got[0].ID, Reply{}), ReasonDeliveryAnswered)
	if len(near.groups[0].outstanding) > 0 {
		t.Error("the answered delivery is still outstanding")
	}
}

// A node that is lost twice may disconnect a socket twice. Both events have the same id, and both
// trackers come to their end.
func TestTwoDisconnectsOfOneSocket(t *testing.T) {
	h := newHub(t, Options{})
	remote, err := h.AddRemote(SubscribeOptions{Credits: 10}, SubscriptionRef{"far", 1}, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	var trackers []*Tracker
	for range 2 {
		tracker := NewTracker()
		h.PublishTracked(&Event{Kind: Disconnect, Namespace: "/", Socket: &Socket{ID: "s"}}, 1, false, tracker)
		tracker.Seal()
		trackers = append(trackers, tracker)
	}
	var into [10]Delivery
	n, err := remote.Take(into[:])
	if err != nil || n != 2 {
		t.Fatalf("Take: %d, %v", n, err)
	}
	remote.Confirm(into[0].ID, into[1].ID)
	for i, tracker := range trackers {
		select {
		case <-tracker.Done():
		default:
			t.Errorf("tracker %d waits for ever", i)
		}
	}
}
