package engineio

import (
	"fmt"
	"strings"
	"testing"
)

// push queues a message and returns its position.
func (s *session) push(t *testing.T, message string) uint64 {
	t.Helper()
	position, _, reason := s.SendNumbered(text(message), false)
	if reason != Queued {
		t.Fatalf("the message was dropped: %v", reason)
	}
	return position
}

// wantConfirmed waits until the client has confirmed a position.
func (s *session) wantConfirmed(t *testing.T, position uint64) {
	t.Helper()
	eventually(t, fmt.Sprint("position ", position, " is confirmed"), func() bool { return s.confirmed.Load() >= position })
}

// pings returns how many pings wait for their pongs.
func (s *session) pings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deadlines.pings
}

// A pong confirms what was queued before its ping, and nothing else.
func TestPongConfirms(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	before := ses.push(t, "before")
	ses.Ping()
	after := ses.push(t, "after")
	for _, want := range []string{"4before", "2", "4after"} {
		c.want(want)
	}
	c.write("4message")
	ses.wantData(t, "message")
	if got := ses.confirmed.Load(); got != 0 {
		t.Errorf("%d is confirmed without a pong", got)
	}
	c.write("3")
	ses.wantConfirmed(t, before)
	if got := ses.confirmed.Load(); got >= after {
		t.Errorf("%d is confirmed, though %d came behind the ping", got, after)
	}
	// A pong that answers nothing confirms nothing.
	c.write("3")
	c.write("4message")
	ses.wantData(t, "message")
	if got := ses.confirmed.Load(); got >= after {
		t.Errorf("%d is confirmed by a pong that answers nothing", got)
	}
}

// One ping at a time is enough.
func TestPingOnce(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	for range 3 {
		ses.Ping()
	}
	ses.push(t, "last")
	c.want("2")
	c.want("4last")
	c.write("3")
	ses.wantConfirmed(t, 1)
	ses.Ping()
	c.want("2")
}

// A connection that closes is asked nothing more, and its queue ends as it would.
func TestPingWhileClosing(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	ses.push(t, "last")
	ses.CloseAfterFlush(ReasonForcedClose)
	ses.Ping()
	if position, reason := ses.Resend(text("late")); reason != DropClosed || position == 0 {
		t.Errorf("Resend = %d, %v", position, reason)
	}
	c.want("4last")
	c.wantClosed(int(ReasonForcedClose.closeCode()))
}

// While reading was paused a second ping is sent. Only the pong to that confirms, and up to it.
func TestTwoPings(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	ses.mu.Lock()
	ses.ping(ses.server.uptime())
	ses.mu.Unlock()
	between := ses.push(t, "between")
	ses.mu.Lock()
	ses.ping(ses.server.uptime())
	ses.mu.Unlock()
	for _, want := range []string{"2", "4between", "2"} {
		c.want(want)
	}
	c.write("3")
	eventually(t, "the first pong has come", func() bool { return ses.pings() == 1 })
	if got := ses.confirmed.Load(); got != 0 {
		t.Errorf("the first pong confirms %d", got)
	}
	c.write("3")
	ses.wantConfirmed(t, between)
}

// Over long-polling, and across an upgrade, positions go on.
func TestPollingConfirms(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	first := ses.push(t, "first")
	ses.Ping()
	c.wantPoll("4first\x1e2")
	c.post("3")
	ses.wantConfirmed(t, first)
	second := ses.push(t, "second")
	ses.Ping()
	c.wantPoll("4second\x1e2")
	c.probeSocket()
	c.wantPoll("6")
	c.write("5")
	eventually(t, "the connection is upgraded", ses.overWebSocket)
	third := ses.push(t, "third")
	c.want("4third")
	c.write("3") // to the ping that came in the last answer
	ses.wantConfirmed(t, second)
	if got := ses.confirmed.Load(); got >= third {
		t.Errorf("%d is confirmed, though %d came behind the ping", got, third)
	}
	ses.Ping()
	c.want("2")
	c.write("3")
	ses.wantConfirmed(t, third)
}

// Pongs that were asked for aren't idle frames; others are.
func TestSolicitedPongsAreNotIdle(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	for range maxIdleFrames + 10 {
		ses.Ping()
		c.want("2")
		c.write("3")
		eventually(t, "the pong has come", func() bool { return ses.pings() == 0 })
	}
	for range maxIdleFrames + 10 {
		if err := c.ws.WriteMessage(1, []byte("3")); err != nil {
			break
		}
	}
	ses.wantClose(t, ReasonTransportError)
}

// Frames that are sent again don't count towards the queue until that has been empty, and the queue
// is as large as ever for those that come next.
func TestResendBeyondTheQueue(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxQueuedBytes, o.Policy = 1000, Drop })
	c, ses := s.poller(t)
	big := text(strings.Repeat("x", 400))
	for range 10 {
		if _, reason := ses.Resend(big); reason != Queued {
			t.Fatalf("Resend: %v", reason)
		}
	}
	for i, want := range []DropReason{Queued, Queued, DropQueueFull} {
		if got := ses.Send(big, false); got != want {
			t.Errorf("message %d: %v, want %v", i, got, want)
		}
	}
	c.poll()
	for i, want := range []DropReason{Queued, Queued, DropQueueFull} {
		if got := ses.Send(big, false); got != want {
			t.Errorf("with an empty queue, message %d: %v, want %v", i, got, want)
		}
	}
}
