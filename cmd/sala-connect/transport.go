package main

import (
	"time"

	"github.com/zishang520/socket.io/clients/engine/v3"
	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// attachPause is how long to wait before looking again whether anybody listens.
const attachPause = 100 * time.Microsecond

// webSocketCtor makes the library's WebSockets, opened late.
type webSocketCtor struct {
	transports.WebSocketBuilder
	begun <-chan struct{} // that of lateTransport
}

// New implements transports.TransportCtor.
func (c *webSocketCtor) New(owner engine.Socket, opts engine.SocketOptionsInterface) engine.Transport {
	return openLate(c.WebSocketBuilder.New(owner, opts), owner, c.begun)
}

// lateTransport fixes the order in which version 3.0.4 of the library opens a transport:
//
//   - It opens once somebody listens to its owner's errors. The library opens a WebSocket within the
//     call that creates its owner, so nobody would learn why that failed, and a client would only try
//     again after its timeout.
//   - It opens after the call that connects has returned: a connection that is open before that makes
//     the library send CONNECT twice, and the broker then ends it for a parse error.
//   - It passes packets on once it is open. The library reads before it knows that it may write: what
//     it answers to a packet that comes so early would wait for the next one to be sent, CONNECT until
//     the broker ends the connection.
type lateTransport struct {
	engine.Transport
	owner engine.Socket
	begun <-chan struct{} // closed when the call that connects has returned
	open  chan struct{}   // closed when the library has opened the transport, or has failed to
}

func openLate(transport engine.Transport, owner engine.Socket, begun <-chan struct{}) *lateTransport {
	return &lateTransport{Transport: transport, owner: owner, begun: begun, open: make(chan struct{})}
}

// Open implements engine.Transport.
func (t *lateTransport) Open() engine.Transport {
	go func() {
		<-t.begun
		ticker := time.NewTicker(attachPause)
		defer ticker.Stop()
		for t.owner.ListenerCount("error") == 0 {
			<-ticker.C
		}
		if t.owner.ReadyState() == engine.SocketStateOpening {
			t.Transport.Open()
		}
		close(t.open)
	}()
	return t
}

// On implements engine.Transport. The library reads in a goroutine of its own, which may wait.
func (t *lateTransport) On(event types.EventName, listeners ...types.EventListener) error {
	if event != "packet" {
		return t.Transport.On(event, listeners...)
	}
	for _, listener := range listeners {
		err := t.Transport.On(event, func(args ...any) {
			<-t.open
			listener(args...)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
