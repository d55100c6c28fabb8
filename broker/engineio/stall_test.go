package engineio

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// rawClient opens a WebSocket connection whose bytes the test reads itself, or leaves unread.
func (s *server) rawClient(t *testing.T) (net.Conn, *session) {
	t.Helper()
	return s.rawClientBy(t, nil)
}

// rawClientBy is rawClient with a socket of the caller's own, if dial isn't nil.
func (s *server) rawClientBy(
	t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error),
) (net.Conn, *session) {
	t.Helper()
	dialer := ws.Dialer{TLSConfig: clientTLS(s.http), NetDial: dial}
	nc, buffered, _, err := dialer.Dial(t.Context(), s.url("ws", "EIO=4&transport=websocket"))
	if err != nil {
		t.Fatal(err)
	}
	if buffered != nil {
		ws.PutReader(buffered) // at most the open packet
	} else if _, err := ws.ReadFrame(nc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc, s.session(t)
}

func TestSlowConsumer(t *testing.T) {
	t.Run("cap", func(t *testing.T) {
		tally := newTally()
		s := start(t, func(o *Options) { o.MaxQueuedBytes, o.Observer = 256<<10, tally })
		_, ses := s.rawClient(t)
		_, other := s.rawClient(t)
		frame := text(strings.Repeat("x", 16<<10))
		var r DropReason
		for i := 0; r == Queued; i++ {
			if i > 10_000 {
				t.Fatal("the queue has no bound")
			}
			r = ses.Send(frame, false)
		}
		if r != DropQueueFull {
			t.Errorf("result %+v", r)
		}
		ses.wantClose(t, ReasonSlowConsumer)
		if tally.drops(DropQueueFull) != 1 || tally.drops(DropUndelivered) == 0 {
			t.Errorf("counted %v", tally.dropped)
		}
		if !other.isOpen() {
			t.Error("its neighbour is closed too")
		}
	})
	t.Run("drop policy", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxQueuedBytes, o.Policy = 256<<10, Drop })
		nc, ses := s.rawClient(t)
		sent, number := 0, 0
		for dropped := false; !dropped; number++ {
			r := ses.Send(text(fmt.Sprintf("%09d%s", number, strings.Repeat("x", 16<<10))), false)
			if dropped = r == DropQueueFull; !dropped {
				sent++
			}
		}
		eventually(t, "volatile messages are dropped", func() bool { return !ses.takesMessages() })
		if r := ses.Send(text("v"), true); r != DropNotWritable {
			t.Errorf("volatile: %+v", r)
		}
		for i := range sent {
			f, err := ws.ReadFrame(nc)
			if err != nil || !strings.HasPrefix(string(f.Payload), fmt.Sprintf("4%09d", i)) {
				t.Fatalf("message %d: %.12q, %v", i, f.Payload, err)
			}
		}
		eventually(t, "writable again", func() bool { return ses.takesMessages() })
		if r := ses.Send(text("2z"), true); r != Queued {
			t.Errorf("after the stall: %+v", r)
		}
		if f, err := ws.ReadFrame(nc); err != nil || string(f.Payload) != "42z" {
			t.Errorf("after the stall: %q, %v", f.Payload, err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxQueuedBytes, o.WriteTimeout = 64<<20, 200*time.Millisecond })
		_, ses := s.rawClient(t)
		frame := text(strings.Repeat("x", 1<<20))
		for range 16 {
			ses.Send(frame, false)
		}
		ses.wantClose(t, ReasonSlowConsumer)
	})
	t.Run("closing", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxQueuedBytes, o.WriteTimeout = 64<<20, 2*time.Second })
		_, ses := s.rawClient(t)
		frame := text(strings.Repeat("x", 1<<20))
		for range 16 {
			ses.Send(frame, false)
		}
		ses.sendAndClose(text("1"), ReasonForcedClose)
		ses.wantClose(t, ReasonForcedClose)
	})
	t.Run("larger than the queue", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxQueuedBytes = 10_000 })
		c, ses := s.dial(t)
		limit := 10_000 - text("").cost() - 2 // a longer header
		if r := ses.Send(text(strings.Repeat("x", limit+1)), false); r != DropTooLarge {
			t.Errorf("one over: %+v", r)
		}
		if r := ses.Send(text(strings.Repeat("x", limit)), false); r != Queued {
			t.Errorf("at the limit: %+v", r)
		}
		c.want("4" + strings.Repeat("x", limit))
	})
}

// The queue is bounded for a client that has stopped polling, too.
func TestSlowPoller(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxQueuedBytes = 100_000 })
	_, ses := s.poller(t)
	frame := text(strings.Repeat("x", 10_000))
	for range 9 {
		if r := ses.Send(frame, false); r != Queued {
			t.Fatal(r)
		}
	}
	if r := ses.Send(frame, false); r != DropQueueFull {
		t.Error(r)
	}
	ses.wantClose(t, ReasonSlowConsumer)
}

// Sending to a connection that keeps up doesn't allocate, neither in the sender nor in the
// flusher.
func TestSendAllocatesNothing(t *testing.T) {
	if raceEnabled || throughNet {
		t.Skip("the race detector allocates, and so does a write through package net")
	}
	s := start(t)
	nc, ses := s.rawClient(t)
	frame := text("2[\"event\",\"hello\"]")
	buf := make([]byte, len(frame.wire))
	send := func() {
		ses.Send(frame, false)
		for got := 0; got < len(buf); {
			n, err := nc.Read(buf[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}
	send()
	runtime.GC()
	if allocs := testing.AllocsPerRun(1000, send); allocs != 0 {
		t.Errorf("%v allocations per message", allocs)
	}
}

// CutBacklogs cuts a client with a large backlog and no other.
func TestCutBacklogs(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxQueuedBytes = 1 << 30 })
	_, stalled := s.rawClient(t)
	nc, reading := s.rawClient(t)
	frame := text(strings.Repeat("x", 1<<20))
	for range 256 { // more than any kernel buffers for one connection; the queue refers to the same bytes
		stalled.Send(frame, false)
	}
	eventually(t, "the kernel takes no more", func() bool {
		stalled.mu.Lock()
		defer stalled.mu.Unlock()
		return stalled.stalled
	})
	reading.Send(text("2a"), false)
	if _, err := ws.ReadFrame(nc); err != nil {
		t.Fatal(err)
	}
	if n := s.CutBacklogs(1 << 30); n != 0 {
		t.Errorf("%d were cut that have little", n)
	}
	if n := s.CutBacklogs(64 << 10); n != 1 {
		t.Errorf("%d were cut", n)
	}
	stalled.wantClose(t, ReasonSlowConsumer)
	if !reading.isOpen() {
		t.Error("a neighbour was cut")
	}
}
