package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zishang520/socket.io/clients/engine/v3"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// owner is an engine whose errors somebody listens to.
type owner struct{ engine.Socket }

func (owner) ListenerCount(types.EventName) int { return 1 }
func (owner) ReadyState() engine.SocketState    { return engine.SocketStateOpening }

// openingTime is how long an early transport takes to open, of a bubble's time.
const openingTime = time.Second

// early is a transport whose first packet comes while it opens, as the library's do.
type early struct {
	engine.Transport
	opened int
}

func newEarly() *early { return &early{Transport: engine.MakeTransport()} }

func (e *early) Open() engine.Transport {
	go e.OnPacket(&packet.Packet{Type: packet.OPEN})
	time.Sleep(openingTime)
	e.OnOpen()
	e.opened++
	return e
}

// A connection that is open before the call that connects has returned makes the library send CONNECT
// twice.
func TestTransportsOpenAfterTheCallThatConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, transport := make(chan struct{}), newEarly()
		openLate(transport, owner{}, begun).Open()
		synctest.Wait()
		if transport.opened > 0 {
			t.Error("it opens during the call that connects")
		}
		close(begun)
		time.Sleep(openingTime)
		synctest.Wait()
		if transport.opened != 1 {
			t.Errorf("after that call it has been opened %d times", transport.opened)
		}
	})
}

// The library can't answer a packet that comes before it knows that it may write.
func TestPacketsWaitUntilTheTransportIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan struct{})
		close(begun)
		late := openLate(newEarly(), owner{}, begun)
		var writable []bool
		if err := late.On("packet", func(...any) { writable = append(writable, late.Writable()) }); err != nil {
			t.Fatal(err)
		}
		late.Open()
		time.Sleep(openingTime)
		synctest.Wait()
		if !slices.Equal(writable, []bool{true}) {
			t.Errorf("a packet comes: the transport is writable %v, want once and writable", writable)
		}
	})
}
