package main

import (
	"time"

	"github.com/zishang520/socket.io/clients/engine/v3"
	"github.com/zishang520/socket.io/clients/engine/v3/transports"
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
	return &lateTransport{Transport: c.WebSocketBuilder.New(owner, opts), owner: owner, begun: c.begun}
}

// lateTransport opens once somebody listens to its owner's errors. Version 3.0.4 of the library opens
// a WebSocket within the call that creates its owner, so nobody would learn why that failed, and a
// client would only try again after its timeout. It also waits until the call that connects has
// returned: a connection that is open before that makes the library send CONNECT twice, and the broker
// then ends it for a parse error.
type lateTransport struct {
	engine.Transport
	owner engine.Socket
	begun <-chan struct{} // closed when the call that connects has returned
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
	}()
	return t
}
