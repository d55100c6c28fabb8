package engine

import "testing"

func TestCorkHoldsBackWhatIsSent(t *testing.T) {
	s := start(t)
	t.Run("websocket", func(t *testing.T) {
		c, ses := s.dial(t)
		eventually(t, "the handshake is written", func() bool {
			ses.mu.Lock()
			defer ses.mu.Unlock()
			return !ses.scheduled && !ses.busy
		})
		ses.Cork()
		ses.Cork()
		ses.Send(text("2a"), false)
		ses.Uncork()
		ses.mu.Lock()
		if ses.scheduled || ses.busy || len(ses.out.frames) != 1 {
			t.Error("what was sent while corked is on its way")
		}
		ses.mu.Unlock()
		ses.Send(text("2b"), false)
		ses.Uncork()
		c.want("42a")
		c.want("42b")
	})
	t.Run("polling", func(t *testing.T) {
		c, ses := s.poller(t)
		ses.Cork()
		ses.Send(text("2a"), false)
		answered := make(chan string)
		go func() {
			_, body := c.poll()
			answered <- body
		}()
		eventually(t, "the poll is pending", func() bool { return ses.socket.Transport().Writable() })
		select {
		case body := <-answered:
			t.Errorf("answered with %q while corked", body)
		default:
		}
		ses.Send(text("2b"), false)
		ses.Uncork()
		if got := <-answered; got != "42a\x1e42b" {
			t.Errorf("poll %q", got)
		}
	})
	t.Run("closed meanwhile", func(t *testing.T) {
		c, ses := s.dial(t)
		ses.Cork()
		ses.SendAndClose(text("2last"), ReasonForcedClose)
		ses.Uncork()
		c.want("42last")
		c.want("1")
		ses.wantClose(t, ReasonForcedClose)
	})
}
