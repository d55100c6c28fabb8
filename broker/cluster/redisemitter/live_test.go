package redisemitter_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/cluster/redisemitter"
)

// inbox passes the messages of a bus to a test.
type inbox struct {
	messages chan cluster.Message
	states   chan cluster.State
}

func (i inbox) Received(m cluster.Message)   { i.messages <- m }
func (i inbox) StateChanged(s cluster.State) { i.states <- s }
func (i inbox) Lost(int)                     {}

// Runs @socket.io/redis-emitter under Node against a Redis that is restarted in between.
func TestOfficialEmitter(t *testing.T) {
	if _, err := os.Stat("testdata/node_modules/@socket.io/redis-emitter"); err != nil {
		t.Fatalf("the official emitter is missing, run `make deps`: %v", err)
	}
	server := clustertest.Start(t)
	bus, err := redis.New(redis.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	in := inbox{messages: make(chan cluster.Message, 100), states: make(chan cluster.State, 10)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { bus.Listen(ctx, redisemitter.Patterns(redisemitter.DefaultKey, "/", "/chat"), in); close(done) }()
	defer func() { stop(); <-done }()

	for round := range 2 {
		awaitState(t, in, cluster.Connected)
		publish(t, server.Port)
		for i := range expected() {
			select {
			case m := <-in.messages:
				c, err := redisemitter.Decode(redisemitter.DefaultKey, m.Channel, m.Payload)
				if err != nil {
					t.Fatalf("round %d, command %d: %v", round, i, err)
				}
				compare(t, i, *c)
			case <-time.After(20 * time.Second):
				t.Fatalf("round %d: command %d doesn't come", round, i)
			}
		}
		server.Kill()
		awaitState(t, in, cluster.Disconnected)
		server.Restart()
	}
}

func awaitState(t *testing.T, in inbox, want cluster.State) {
	t.Helper()
	select {
	case got := <-in.states:
		if got != want {
			t.Fatalf("the listener is %v, want %v", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the listener isn't %v", want)
	}
}

func publish(t *testing.T, port int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "publish.mjs", strconv.Itoa(port))
	node.Dir = "testdata"
	if out, err := node.CombinedOutput(); err != nil {
		t.Fatalf("node publish.mjs: %v\n%s", err, out)
	}
}
