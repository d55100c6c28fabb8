package sala

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/sdk/go/salav1"
)

var errBroken = status.Error(codes.Unavailable, "broken")

func echo(_ context.Context, e *Event) (any, error) {
	values, err := e.Args.Values()
	return Ack(values), err
}

func TestHandlersAnswer(t *testing.T) {
	var log bytes.Buffer
	b, client := start(t)
	client.log = slog.New(slog.NewTextHandler(&log, nil))
	s := client.NewSubscriber("g")
	for name, result := range map[string]func() (any, error){
		"nothing": func() (any, error) { return nil, nil },
		"one":     func() (any, error) { return []int{1, 2}, nil },
		"several": func() (any, error) { return Ack{1, "b"}, nil },
		"refuse":  func() (any, error) { return nil, fmt.Errorf("no: %w", Refuse("BAD\xff", "no")) },
		"fail":    func() (any, error) { return nil, errors.New("secret") },
		"panic":   func() (any, error) { panic("secret") },
		"odd":     func() (any, error) { return make(chan int), nil },
	} {
		s.On(name, func(context.Context, *Event) (any, error) { return result() })
	}
	stop, ended := running(t, s)
	stream, started := b.opened(t)
	if strings.Join(started.GetEvents(), " ") != "fail nothing odd one panic refuse several" || len(started.GetKinds()) != 1 || started.GetCredits() != 128 {
		t.Errorf("it subscribes with %v", started)
	}
	for name, want := range map[string]string{
		"nothing": `[]`, "one": `[[1,2]]`, "several": `[1,"b"]`, "refuse": "BAD\uFFFD",
		"fail": "HANDLER_FAILED", "panic": "HANDLER_FAILED", "odd": "HANDLER_FAILED",
	} {
		stream.event(name, "s", "[]", func(e *salav1.ClientEvent) { e.Event = name })
		if got, _ := stream.reply(); got != name+" "+want {
			t.Errorf("%s: %s", name, got)
		}
	}
	stop()
	stream.reply()
	stream.end <- nil
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
	for _, name := range []string{"event=fail", "event=panic", "event=odd"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("the log has no %s", name)
		}
	}
}

func TestEventsOfOneSocketAreOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		s := client.NewSubscriber("")
		s.Concurrency, s.Credits = 2, 10
		began := make(chan string, 10)
		release := make(chan struct{})
		var handling sync.Map // by socket
		s.On("say", func(_ context.Context, e *Event) (any, error) {
			if _, busy := handling.LoadOrStore(e.Socket.ID, true); busy {
				t.Errorf("two events of %s are handled at the same time", e.Socket.ID)
			}
			defer handling.Delete(e.Socket.ID)
			began <- e.DeliveryID
			<-release
			return nil, nil
		})
		stop, ended := running(t, s)
		stream, _ := b.opened(t)
		for _, id := range []string{"a1", "a2", "b1", "c1"} {
			stream.event(id, id[:1], "[]")
		}
		synctest.Wait()
		if len(began) != 2 {
			t.Errorf("%d handlers run at the same time, want 2", len(began))
		}
		order := map[string]int{}
		for n := range 4 {
			order[<-began] = n
			release <- struct{}{}
		}
		if order["a1"] > order["a2"] {
			t.Errorf("the order is %v", order)
		}
		stop()
		_, credits := stream.reply()
		if credits > 4 {
			t.Errorf("%d credits for 4 events", credits)
		}
		stream.end <- nil
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestStreamsAreOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		s := client.NewSubscriber("g")
		s.Concurrency = 1
		s.Credits = 3
		release := make(chan struct{})
		handled := 0
		s.On("say", func(context.Context, *Event) (any, error) {
			handled++
			<-release
			return "answer", nil
		})
		var reports []Reconnect
		s.OnReconnect(func(r Reconnect) { reports = append(reports, r) })
		stop, ended := running(t, s)
		first, _ := b.opened(t)
		first.event("1", "s", "[]")
		first.event("2", "s", "[]")
		synctest.Wait()
		first.end <- errBroken
		synctest.Wait()
		<-time.After(time.Second)
		second, started := b.opened(t)
		if started.GetCredits() != 1 {
			t.Errorf("%d credits while 2 of 3 are in use", started.GetCredits())
		}
		// One of the events comes back while its handler runs, the other one when it has finished.
		second.event("1", "s", "[]", redelivered)
		synctest.Wait()
		close(release)
		if got, _ := second.reply(); got != `1 ["answer"]` {
			t.Errorf("the answer is %s", got)
		}
		synctest.Wait()
		second.event("2", "s", "[]", redelivered)
		if got, credits := second.reply(); got != `2 ["answer"]` || credits == 0 {
			t.Errorf("the second answer is %s after %d credits", got, credits)
		}
		if handled != 2 {
			t.Errorf("handled %d times", handled)
		}
		second.end <- errBroken
		third, _ := b.opened(t)
		synctest.Wait()
		if len(reports) != 2 || CodeOf(reports[0].Cause) != codes.Unavailable || reports[0].Undelivered != 0 || reports[1].Undelivered != 1 {
			t.Errorf("reported %+v", reports)
		}
		stop()
		third.reply()
		third.end <- nil
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestLeavingWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		s := client.NewSubscriber("g")
		var seen []string
		s.On("say", func(_ context.Context, e *Event) (any, error) {
			<-time.After(time.Second)
			seen = append(seen, e.DeliveryID)
			return e.DeliveryID, nil
		})
		stop, ended := running(t, s)
		stream, _ := b.opened(t)
		stream.event("before", "s", "[]")
		synctest.Wait()
		stop()
		synctest.Wait()
		stream.event("while", "s", "[]")
		for _, want := range []string{`before ["before"]`, `while ["while"]`, "end"} {
			if got, credits := stream.reply(); got != want || credits != 0 {
				t.Errorf("got %s with %d credits, want %s", got, credits, want)
			}
		}
		stream.event("after, with an ack", "s", "[]")
		stream.event("after", "s", "[]", func(e *salav1.ClientEvent) { e.NeedsAck = false })
		synctest.Wait()
		stream.end <- nil
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Join(seen, " ") != "before while after" {
			t.Errorf("handled %v", seen)
		}
	})
}

func TestLeavingEndsAfterTheGraceTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		s := client.NewSubscriber("g")
		s.On("say", func(ctx context.Context, _ *Event) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		stop, ended := running(t, s)
		stream, _ := b.opened(t)
		stream.event("1", "s", "[]")
		synctest.Wait()
		began := time.Now()
		stop()
		if err := <-ended; err != nil || time.Since(began) != DefaultGrace {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if got, _ := stream.reply(); got != "end" {
			t.Errorf("it has answered %s", got)
		}
	})
}

func TestRunEndsWithErrorsThatCannotHeal(t *testing.T) {
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument} {
		b, client := start(t)
		s := client.NewSubscriber("g")
		s.OnAny(echo)
		_, ended := running(t, s)
		stream := <-b.streams
		stream.end <- status.Error(code, "no")
		if err := <-ended; CodeOf(err) != code {
			t.Errorf("%v: Run returned %v", code, err)
		}
		if err := s.Run(t.Context()); err == nil {
			t.Error("it ran twice")
		}
	}
}

func TestPausesGrowUntilAStreamHasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		s := client.NewSubscriber("g")
		s.OnConnect(func(context.Context, *Event) error { return nil })
		stop, ended := running(t, s)
		var longest time.Duration
		for range 30 {
			began := time.Now()
			stream := <-b.streams
			longest = max(longest, time.Since(began))
			stream.end <- errBroken
		}
		if longest > longestPause || longest < time.Second {
			t.Errorf("the longest pause was %v", longest)
		}
		stream, _ := b.opened(t)
		synctest.Wait()
		stream.end <- errBroken
		synctest.Wait()
		began := time.Now()
		<-b.streams
		if pause := time.Since(began); pause > 2*firstPause {
			t.Errorf("the pause after a stream that had started was %v", pause)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestDecisions(t *testing.T) {
	b, client := start(t)
	s := client.NewSubscriber("g")
	s.Decide(func(_ context.Context, e *Event) (*Accept, error) {
		switch e.User {
		case "ana":
			return &Accept{Rooms: []string{"lobby"}, Data: map[string]any{"n": 1}}, nil
		case "mallory":
			return nil, Refuse("BANNED", "no")
		case "odd":
			return nil, errors.New("secret")
		}
		return nil, nil
	})
	stop, ended := running(t, s)
	stream, started := b.opened(t)
	if !started.GetDecide() || len(started.GetKinds()) != 1 || started.GetKinds()[0] != salav1.EventKind_EVENT_KIND_CONNECT {
		t.Errorf("it subscribes with %v", started)
	}
	for user, want := range map[string]string{"ana": "lobby 1", "mallory": "BANNED", "odd": "HANDLER_FAILED", "ben": ""} {
		stream.event(user, user, "", func(e *salav1.ClientEvent) {
			e.Kind, e.NeedsAck, e.NeedsDecision, e.Event, e.Socket.User = salav1.EventKind_EVENT_KIND_CONNECT, false, true, "", user
		})
		var decision *salav1.EventDecision
		for decision == nil {
			decision = stream.next().GetDecision()
		}
		got := decision.GetRefuse().GetCode()
		if accept := decision.GetAccept(); len(accept.GetRooms()) > 0 {
			got = fmt.Sprint(accept.GetRooms()[0], " ", accept.GetData().GetStructValue().AsMap()["n"])
		}
		if got != want || decision.GetDeliveryId() != user {
			t.Errorf("%s: %v", user, decision)
		}
	}
	stop()
	stream.reply()
	stream.end <- nil
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnswersThatAreRejectedBecomeErrors(t *testing.T) {
	b, client := start(t)
	s := client.NewSubscriber("g")
	s.On("say", echo)
	rejections := make(chan Rejected, 1)
	s.OnRejected(func(r Rejected) { rejections <- r })
	stop, ended := running(t, s)
	stream, _ := b.opened(t)
	stream.event("1", "s", `["much"]`)
	stream.reply()
	stream.send(&salav1.SubscribeResponse{Response: &salav1.SubscribeResponse_Rejected{Rejected: &salav1.EventRejected{DeliveryId: "1", Reason: "REQUEST_TOO_LARGE"}}})
	if got, _ := stream.reply(); got != "1 HANDLER_FAILED" {
		t.Errorf("the answer is %s", got)
	}
	if r := <-rejections; r.DeliveryID != "1" || r.Reason != "REQUEST_TOO_LARGE" {
		t.Errorf("reported %+v", r)
	}
	stop()
	stream.reply()
	stream.end <- nil
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnswerLogIsBounded(t *testing.T) {
	log := newAnswerLog()
	add := func(n, size int) {
		d := &delivery{event: &salav1.ClientEvent{DeliveryId: fmt.Sprint(n)}}
		log.begin(d)
		log.end(d, replyRequest(&salav1.EventReply{ArgsJson: strings.Repeat("x", size)}))
	}
	for n := range maxAnswers + 5 {
		add(n, 1)
	}
	if len(log.deliveries) != maxAnswers || log.find("4") != nil || log.find("5") == nil {
		t.Errorf("it has %d answers", len(log.deliveries))
	}
	for n := range 5 {
		add(-n-1, maxAnswerBytes/4)
	}
	if log.bytes > maxAnswerBytes || len(log.deliveries) != log.done.Len() {
		t.Errorf("it has %d bytes in %d and %d answers", log.bytes, len(log.deliveries), log.done.Len())
	}
}

func TestSubscriberNeedsHandlers(t *testing.T) {
	_, client := start(t)
	twice := client.NewSubscriber("g")
	twice.On("say", echo)
	twice.On("say", echo)
	for name, s := range map[string]*Subscriber{"none": client.NewSubscriber("g"), "two of one event": twice} {
		if err := s.Run(t.Context()); err == nil {
			t.Errorf("it runs with %s", name)
		}
	}
}
