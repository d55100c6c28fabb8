package main

import (
	"testing"
	"testing/synctest"

	"github.com/zishang520/socket.io/clients/engine/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// owner is an engine whose errors somebody listens to.
type owner struct{ engine.Socket }

func (owner) ListenerCount(types.EventName) int { return 1 }
func (owner) ReadyState() engine.SocketState    { return engine.SocketStateOpening }

// openings counts how often a transport is opened.
type openings struct {
	engine.Transport
	n int
}

func (o *openings) Open() engine.Transport {
	o.n++
	return o
}

// A connection that is open before the call that connects has returned makes the library send CONNECT
// twice.
func TestTransportsOpenAfterTheCallThatConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, transport := make(chan struct{}), &openings{}
		late := &lateTransport{Transport: transport, owner: owner{}, begun: begun}
		late.Open()
		synctest.Wait()
		if transport.n > 0 {
			t.Error("it opens during the call that connects")
		}
		close(begun)
		synctest.Wait()
		if transport.n != 1 {
			t.Errorf("after that call it has been opened %d times", transport.n)
		}
	})
}
