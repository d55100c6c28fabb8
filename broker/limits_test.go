package broker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// inMemory runs a test of a broker with limits, a client and its neighbour, whom
// what the client does must not concern.
func inMemory(t *testing.T, o broker.Options, test func(t *testing.T, node *brokertest.Node, c, neighbour *brokertest.Client, metrics func() map[string]float64)) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		o.Metrics = registry
		node := brokertest.StartInMemory(t, o)
		test(t, node, node.Join("ana"), node.Join("bob"), func() map[string]float64 { return gather(t, registry) })
	})
}

func expectCode(t *testing.T, what, answer, code string) {
	t.Helper()
	if got := strings.Contains(answer, `"code":"`+code+`"`); !got {
		t.Errorf("%s was answered with %s, want %s", what, answer, code)
	}
}

func TestEventsPerSecond(t *testing.T) {
	o := broker.Options{Limits: broker.Limits{Events: 5}}
	inMemory(t, o, func(t *testing.T, _ *brokertest.Node, c, neighbour *brokertest.Client, metrics func() map[string]float64) {
		<-time.After(time.Second) // connecting has cost something, too
		for i := range 10 {
			expectCode(t, fmt.Sprintf("event %d", i+1), c.Call("x"), "NO_HANDLER")
		}
		expectCode(t, "one over the limit", c.Call("x"), "RATE_LIMITED")
		expectCode(t, "the neighbour's", neighbour.Call("x"), "NO_HANDLER")
		<-time.After(200 * time.Millisecond)
		expectCode(t, "one a moment later", c.Call("x"), "NO_HANDLER")
		expectCode(t, "the next", c.Call("x"), "RATE_LIMITED")
		c.Emit("not asking for an answer")
		<-time.After(200 * time.Millisecond)
		expectCode(t, "one a moment later", c.Call("x"), "NO_HANDLER")
		if got := metrics()[`sala_limits_exceeded_total{limit="events"}`]; got != 3 {
			t.Errorf("%v events were counted as over the limit, want 3", got)
		}
		if got := metrics()[`sala_client_events_total{kind="unhandled",result="RATE_LIMITED"}`]; got != 3 {
			t.Errorf("%v events were counted as refused, want 3", got)
		}
	})
}

// TestGoingOn has a client refused as often as it may be, and once more.
func TestGoingOn(t *testing.T) {
	o := broker.Options{Limits: broker.Limits{Events: 1}}
	inMemory(t, o, func(t *testing.T, _ *brokertest.Node, c, neighbour *brokertest.Client, metrics func() map[string]float64) {
		<-time.After(time.Second)
		for range 2 + 99 {
			c.Emit("x")
		}
		expectCode(t, "the last that is refused", c.Call("x"), "RATE_LIMITED")
		c.Emit("x")
		c.Expect("sala:disconnect", `[{"code":"RATE_LIMITED","reason":"more than 1 events in a second; send them more slowly"}]`)
		c.ExpectDisconnect()
		c.ExpectEnd()
		synctest.Wait()
		if got := metrics()[`sala_connections_closed_total{reason="rate limited"}`]; got != 1 {
			t.Errorf("%v connections were closed for it, want 1", got)
		}
		expectCode(t, "the neighbour's", neighbour.Call("x"), "NO_HANDLER")
	})
}

// A client that exceeds a limit now and then stays connected.
func TestBeingRefusedNowAndThen(t *testing.T) {
	o := broker.Options{Limits: broker.Limits{Events: 1}}
	inMemory(t, o, func(t *testing.T, _ *brokertest.Node, c, _ *brokertest.Client, metrics func() map[string]float64) {
		for range 500 {
			c.Call("x")
			<-time.After(100 * time.Millisecond)
		}
		<-time.After(time.Second)
		expectCode(t, "one later", c.Call("x"), "NO_HANDLER")
		if got := metrics()[`sala_limits_exceeded_total{limit="events"}`]; got < 400 {
			t.Errorf("%v events were over the limit, want more than 400", got)
		}
	})
}

// A client that sends too many bytes is read no faster than it may send, and
// loses nothing.
func TestBytesPerSecond(t *testing.T) {
	const size, burst = 2000, 1_200_000
	o := broker.Options{MaxMessageBytes: size, Limits: broker.Limits{Bytes: burst / 2}}
	inMemory(t, o, func(t *testing.T, node *brokertest.Node, c, neighbour *brokertest.Client, metrics func() map[string]float64) {
		<-time.After(time.Second)
		large := `42["` + strings.Repeat("x", 200) + `","`
		large += strings.Repeat("x", size+1-len(large)-len(`"]`)) + `"]` // one for Engine.IO's own 4
		send := func(bytes int) time.Duration {
			begin := time.Now()
			for range bytes / size {
				c.Send(large)
			}
			expectCode(t, "the last", c.Call("x"), "NO_HANDLER")
			return time.Since(begin)
		}
		if took := send(burst); took > 50*time.Millisecond {
			t.Errorf("what may come at once took %s", took)
		}
		if took := send(3 * burst / 2); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("bytes for three seconds took %s", took)
		}
		begin := time.Now()
		expectCode(t, "the neighbour's", neighbour.Call("x"), "NO_HANDLER")
		if took := time.Since(begin); took > 0 {
			t.Errorf("the neighbour waited %s", took)
		}
		got := metrics()
		if ok := got[`sala_client_events_total{kind="unhandled",result="NO_HANDLER"}`]; ok != 5*burst/2/size+3 {
			t.Errorf("%v events were handled, want %d", ok, 5*burst/2/size+3)
		}
		if paused := got[`sala_limits_exceeded_total{limit="bytes"}`]; paused < 10 || paused > 200 {
			t.Errorf("reading was paused %v times, want that often in three seconds", paused)
		}
		wantHitter(t, node, "bytes", "ana")
	})
}

// The bytes of a packet are those of its attachments, too, and one of the largest
// size always passes at once.
func TestBytesOfAttachments(t *testing.T) {
	o := broker.Options{MaxMessageBytes: 4_000_000, Limits: broker.Limits{Bytes: 200_000}}
	inMemory(t, o, func(t *testing.T, _ *brokertest.Node, c, _ *brokertest.Client, _ func() map[string]float64) {
		for id, want := range []time.Duration{0, 15 * time.Second} { // longer than attachments may take that aren't paused
			begin := time.Now()
			c.Send(fmt.Sprintf(`451-9%d["x",{"_placeholder":true,"num":0}]`, id))
			c.SendBinary(make([]byte, 3_999_000))
			expectCode(t, "a large one", c.Await(fmt.Sprintf("439%d", id)), "NO_HANDLER")
			if took := time.Since(begin); took < want-time.Second || took > want+time.Second {
				t.Errorf("number %d took %s, want %s", id, took, want)
			}
		}
		expectCode(t, "a small one", c.Call("x"), "NO_HANDLER")
	})
}

func TestJoinsPerSecond(t *testing.T) {
	o := chat()
	o.Limits.Joins = 1
	inMemory(t, o, func(t *testing.T, _ *brokertest.Node, c, neighbour *brokertest.Client, metrics func() map[string]float64) {
		for i := range 5 {
			for _, event := range []string{"join", "leave"} {
				if got := c.Call(event, "room"); got != `[{"ok":true}]` {
					t.Errorf("%s %d was answered with %s", event, i+1, got)
				}
			}
		}
		expectCode(t, "one over the limit", c.Call("join", "room"), "RATE_LIMITED")
		expectCode(t, "one over the limit", c.Call("leave", "room"), "RATE_LIMITED")
		expectCode(t, "another event", c.Call("x"), "NO_HANDLER")
		if got := neighbour.Call("join", "room"); got != `[{"ok":true}]` {
			t.Errorf("the neighbour got %s", got)
		}
		if got := metrics()[`sala_limits_exceeded_total{limit="joins"}`]; got != 2 {
			t.Errorf("%v were over the limit, want 2", got)
		}
		<-time.After(time.Second)
		if got := c.Call("join", "room"); got != `[{"ok":true}]` {
			t.Errorf("a second later the answer is %s", got)
		}
	})
}

// Acks that a backend has requested are not limited; acks that nobody requested are.
func TestAnswersHaveNoLimit(t *testing.T) {
	o := broker.Options{Limits: broker.Limits{Events: 1}}
	inMemory(t, o, func(t *testing.T, node *brokertest.Node, c, _ *brokertest.Client, metrics func() map[string]float64) {
		for range 50 {
			asked := make(chan broker.AckSummary)
			go func() {
				sum, err := node.EmitWithAck(t.Context(), broker.Target{Sockets: []string{c.ID}}, broker.Message{Event: "ask"}, broker.AckOptions{Timeout: time.Second}, func(broker.Ack) error { return nil })
				if err != nil {
					t.Error(err)
				}
				asked <- sum
			}()
			c.Answer(c.Next())
			if sum := <-asked; sum.Answered != 1 {
				t.Fatalf("%+v, want one answer", sum)
			}
		}
		c.Send("43999[]")
		c.Send("43999[]")
		synctest.Wait()
		if got := metrics()[`sala_limits_exceeded_total{limit="events"}`]; got != 1 { // connecting was the first
			t.Errorf("%v answers were over the limit, want 1", got)
		}
	})
}

func TestNamespacesOfAConnection(t *testing.T) {
	o := broker.Options{Namespaces: []string{"/", "/a", "/b"}, Limits: broker.Limits{Namespaces: 2}}
	inMemory(t, o, func(t *testing.T, node *brokertest.Node, c, neighbour *brokertest.Client, metrics func() map[string]float64) {
		auth := map[string]string{"token": node.Token("ana", brokertest.Everything)}
		if got := c.Connect("/a", auth); !strings.HasPrefix(got, "40/a,{") {
			t.Errorf("the second was answered with %s", got)
		}
		expectCode(t, "the third", c.Connect("/b", auth), "TOO_MANY_NAMESPACES")
		if got := neighbour.Connect("/b", auth); !strings.HasPrefix(got, "40/b,{") {
			t.Errorf("the neighbour's was answered with %s", got)
		}
		c.Send("41/a,")
		if got := c.Connect("/b", auth); !strings.HasPrefix(got, "40/b,{") {
			t.Errorf("another in its place was answered with %s", got)
		}
		if got := metrics()[`sala_limits_exceeded_total{limit="namespaces"}`]; got != 1 {
			t.Errorf("%v were over the limit, want 1", got)
		}
	})
}

func TestConnectionsOfAUser(t *testing.T) {
	o := broker.Options{Namespaces: []string{"/", "/a"}, Anonymous: &broker.Permissions{}, Limits: broker.Limits{ConnectionsPerUser: 2}}
	inMemory(t, o, func(t *testing.T, node *brokertest.Node, first, _ *brokertest.Client, metrics func() map[string]float64) {
		auth := map[string]string{"token": node.Token("ana", brokertest.Everything)}
		second, third := node.JoinAs(auth["token"]), node.Dial(nil)
		expectCode(t, "the third", third.Connect("/", auth), "TOO_MANY_CONNECTIONS")
		if got := third.Connect("/a", auth); !strings.HasPrefix(got, "40/a,{") {
			t.Errorf("in another namespace the answer is %s", got)
		}
		for _, c := range []*brokertest.Client{first, second} {
			c.ExpectNothing()
		}
		first.Close()
		synctest.Wait()
		if got := third.Connect("/", auth); !strings.HasPrefix(got, "40{") {
			t.Errorf("when one has left the answer is %s", got)
		}
		for range 3 {
			if got := node.Dial(nil).Connect("/", nil); !strings.HasPrefix(got, "40{") {
				t.Errorf("nobody in particular was answered with %s", got)
			}
		}
		if got := metrics()[`sala_connects_refused_total{reason="TOO_MANY_CONNECTIONS"}`]; got != 1 {
			t.Errorf("%v were refused, want 1", got)
		}
		if got := metrics()[`sala_limits_exceeded_total{limit="connections_per_user"}`]; got != 1 {
			t.Errorf("%v were over the limit, want 1", got)
		}
	})
}

func TestAttachmentsOfAMessage(t *testing.T) {
	node := brokertest.Start(t, broker.Options{MaxAttachments: 2})
	event := func(n int) string {
		args := []any{"x"}
		for i := range n {
			args = append(args, map[string]any{"_placeholder": true, "num": i})
		}
		text, _ := json.Marshal(args)
		return fmt.Sprintf("45%d-1%s", n, text)
	}
	c, neighbour := node.Join("ana"), node.Join("bob")
	c.Send(event(2))
	c.SendBinary([]byte("a"))
	c.SendBinary([]byte("b"))
	expectCode(t, "two attachments", c.Await("431"), "NO_HANDLER")
	c.Send(event(3))
	c.ExpectEnd()
	expectCode(t, "the neighbour's", neighbour.Call("x"), "NO_HANDLER")
	m := broker.Message{Event: "x", Args: []byte(event(3)[len("453-1"):]), Attachments: make([][]byte, 3)}
	if _, err := node.Emit(t.Context(), broker.Target{Rooms: []string{"room"}}, m); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a backend's: %v", err)
	}
}

// wantHitter fails unless the list of limits says that the user, and nobody else, has hit a limit.
func wantHitter(t *testing.T, node *brokertest.Node, limit, user string) {
	t.Helper()
	list, err := node.ListLimits(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var hit []string
	for _, l := range list.Limits {
		if l.Limit == limit {
			hit = append(hit, l.User)
			if l.Count < 1 || l.Address == "" || l.Namespace != "/" {
				t.Errorf("%s: %+v", limit, l)
			}
		}
	}
	if !slices.Equal(hit, []string{user}) {
		t.Errorf("%q have hit the limit %s, want %s alone: %+v", hit, limit, user, list.Limits)
	}
}
