package engineio

import (
	"net/http"
	"sync"
	"testing"
)

// gate holds back the answers to polls once it is closed.
type gate struct {
	http.ResponseWriter
	reached chan<- struct{}
	release <-chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	g.reached <- struct{}{}
	<-g.release
	return g.ResponseWriter.Write(p)
}

func (g *gate) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// gated makes the next GET stop when it writes its answer. Call it before any other request is
// under way.
func (s *server) gated(t *testing.T) (reached <-chan struct{}, release chan<- struct{}) {
	t.Helper()
	arrived, leave := make(chan struct{}), make(chan struct{})
	first := make(chan struct{}, 1)
	first <- struct{}{}
	s.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && !isWebSocket(r) {
			select {
			case <-first:
				w = &gate{w, arrived, leave}
			default:
			}
		}
		s.ServeHTTP(w, r)
	})
	return arrived, leave
}

// slowPoll polls in the background, until its answer is about to be written.
func (c *client) slowPoll(reached <-chan struct{}) (answer <-chan string) {
	c.t.Helper()
	answered := make(chan string, 1)
	go func() {
		_, body := c.poll()
		answered <- body
	}()
	<-reached
	return answered
}

// Messages over WebSocket don't overtake the last answer to a poll.
func TestUpgradeWaitsForTheLastAnswer(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	reached, release := s.gated(t)
	ses.Send(text("2first"), false)
	answer := c.slowPoll(reached)
	c.probeSocket()
	c.write("5")
	eventually(t, "upgraded", ses.overWebSocket)
	ses.Send(text("2second"), false)
	ses.mu.Lock()
	if ses.scheduled || ses.busy || len(ses.out.frames) != 1 {
		t.Error("the second message overtakes the first")
	}
	ses.mu.Unlock()
	close(release)
	if got := <-answer; got != "42first" {
		t.Errorf("poll %q", got)
	}
	c.want("42second")
}

// A client with its answer may poll again while the server is still writing, as far as it knows. The
// server doesn't take that for two polls at once, and the next answer comes after the last.
func TestNextPollWaitsForTheLastAnswer(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	reached, release := s.gated(t)
	ses.Send(text("2first"), false)
	answer := c.slowPoll(reached)
	ses.Send(text("2second"), false)
	next := make(chan string)
	go func() {
		_, body := c.poll()
		next <- body
	}()
	eventually(t, "the next poll is pending", func() bool { return ses.takesMessages() })
	ses.mu.Lock()
	if len(ses.out.frames) != 1 {
		t.Error("the second message overtakes the first")
	}
	ses.mu.Unlock()
	if status, _ := c.poll(); status != http.StatusBadRequest {
		t.Errorf("a third poll: %d", status)
	}
	close(release)
	if got := <-answer; got != "42first" {
		t.Errorf("poll %q", got)
	}
	if got := <-next; got != "1" {
		t.Errorf("next poll %q", got)
	}
	ses.wantClose(t, ReasonTransportError)
}

// Messages over WebSocket are delivered after the last POST.
func TestUpgradeWaitsForTheLastPost(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var first sync.Once
	ses.onEvent(func(event) {
		first.Do(func() {
			close(entered)
			<-leave
		})
	})
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		if status, body := c.post("4one\x1e4two"); status != http.StatusOK {
			t.Errorf("post: %d %s", status, body)
		}
	}()
	<-entered
	c.probeSocket()
	c.write("5")
	c.write("4three")
	ses.wantData(t, "one")
	ses.wantSilence(t)
	close(leave)
	<-posted
	for _, want := range []string{"two", "three"} {
		ses.wantData(t, want)
	}
}

// A poll is answered at once after the client has probed, so that it can upgrade without delay.
func TestProbeReleasesPoll(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	c.probeSocket()
	p, g, refused := ses.beginPoll(requestID{})
	if refused != accepted {
		t.Fatal(refused)
	}
	eventually(t, "a noop", func() bool { a, _ := ses.takeAnswer(p, g, false); return string(a.body) == "6" })
	ses.endPoll(p, g, nil)
	p, g, _ = ses.beginPoll(requestID{})
	if a, _ := ses.takeAnswer(p, g, false); a.ready() {
		t.Errorf("another noop at once: %+v", a)
	}
}
