package cluster_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/salabroker/sala/broker/cluster"
)

// stuckReceiver blocks on each message until it is let go.
type stuckReceiver struct {
	letGo    chan struct{}
	received int
	lost     int
	states   []cluster.State
}

func (r *stuckReceiver) Received(cluster.Message) { r.received++; <-r.letGo }

func (r *stuckReceiver) StateChanged(s cluster.State) { r.states = append(r.states, s) }

func (r *stuckReceiver) Lost(n int) { r.lost += n }

// For a receiver that doesn't keep up, the inbox holds a bounded number of bytes. The receiver
// learns how many messages it lost, and misses no change of state.
func TestInboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, sent = 1000, 500
		in := cluster.NewInbox(100 * size)
		r := &stuckReceiver{letGo: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { in.Run(ctx, r); close(done) }()
		for range sent {
			in.Add(cluster.Message{Channel: "c", Payload: make([]byte, size)})
			synctest.Wait()
		}
		in.AddState(cluster.Disconnected)
		close(r.letGo)
		synctest.Wait()
		if r.received+r.lost != sent || r.received > 100 || r.received < 80 {
			t.Errorf("%d were received and %d lost of %d, want 80 to 100 received and the rest lost", r.received, r.lost, sent)
		}
		if len(r.states) != 1 {
			t.Errorf("%d changes of state, want 1", len(r.states))
		}
		// There is room again.
		in.Add(cluster.Message{Channel: "c"})
		synctest.Wait()
		if r.received+r.lost != sent+1 {
			t.Error("a message after that didn't arrive")
		}
		stop()
		<-done
	})
}
