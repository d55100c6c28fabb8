package engineio

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
)

// Handler is the layer above: it is told of every connection.
type Handler interface {
	// Open is called once for each new connection, before anything that its client sends is read. The request is the
	// one that opened it; it must not be kept, and can't be answered through. Open may be called concurrently.
	Open(c *Conn, r *http.Request) Receiver
}

// Receiver gets what the client of one connection sends. Its methods are never called concurrently, and nothing is
// locked while they run: they may do anything with the connection. One that panics ends the connection, and no other.
type Receiver interface {
	// Text is a text message, which must not be kept.
	Text(message []byte)
	// Binary is a binary message, which belongs to the receiver.
	Binary(message []byte)
	// Closed is called once, as the last. The error, if there is one, is what lies behind the reason.
	Closed(reason Reason, cause error)
}

// deliver hands a message to the receiver, unless the connection is being closed.
func (c *Conn) deliver(p packet) {
	c.mu.Lock()
	open := c.state == stateOpen
	c.mu.Unlock()
	if !open {
		return
	}
	c.guard(func() {
		if p.binary {
			c.receiver.Binary(p.data)
		} else {
			c.receiver.Text(p.data)
		}
	})
}

// guard calls the layer above, whose mistakes must not end the broker.
func (c *Conn) guard(call func()) {
	defer func() {
		if v := recover(); v != nil {
			c.server.opts.Logger.Error("engine: receiver panicked", "panic", describePanic(v), "stack", string(debug.Stack()))
			c.terminate(ReasonInternalError, nil)
		}
	}()
	call()
}

// describePanic tells what the Go runtime has to say, such as "index out of range". The value of another panic might hold
// what the client sent: its type and the stack have to do.
func describePanic(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", v)
}

// receive handles one packet. It's called by the reader of the current transport, one packet at a time. An error
// means that the connection can't go on.
func (c *Conn) receive(p packet) error {
	switch p.kind {
	case packetMessage:
		c.deliver(p)
	case packetPong:
		c.onPong()
	case packetPing:
		return &protocolError{ReasonTransportError, errHeartbeatSide.Error()}
	}
	return nil // the rest means nothing to a server in this state
}
