package engineio

import (
	"net/http"
	"runtime/debug"

	"github.com/salabroker/sala/broker/panics"
)

// Handler is the layer above. The server tells it about every connection.
type Handler interface {
	// Open is called once for each new connection, before anything that its client sends is read.
	// The request is the one that opened the connection. The handler must not keep it, nor answer
	// it. Open may be called concurrently.
	Open(c *Conn, r *http.Request) Receiver
}

// Receiver gets what the client of one connection sends. Its methods but Paused are never called
// concurrently. No lock is held while they run, so they may call any method of the connection. A
// panic ends this connection and no other.
type Receiver interface {
	// Text gets a text message. The receiver must not keep it.
	Text(message []byte)
	// Binary gets a binary message, which belongs to the receiver.
	Binary(message []byte)
	// Confirmed says that the client has received everything up to this position; see
	// [Conn.SendNumbered].
	Confirmed(position uint64)
	// Paused is called when reading pauses because the client has sent more than ReadRate allows.
	// It may be called while another method runs, and must be quick.
	Paused()
	// Closed is the last call. cause is the error behind the reason; nil if there is none.
	Closed(reason Reason, cause error)
}

// deliver hands a message to the receiver, unless the connection is closing.
func (c *Conn) deliver(p packet) {
	c.mu.Lock()
	open := c.state == stateOpen
	c.mu.Unlock()
	if !open {
		return
	}
	c.server.opts.Traffic.received(len(p.data))
	c.guard(func() {
		if p.binary {
			c.receiver.Binary(p.data)
		} else {
			c.receiver.Text(p.data)
		}
	})
}

// guard calls the layer above, whose panics must not end the broker.
func (c *Conn) guard(call func()) {
	defer func() {
		if v := recover(); v != nil {
			c.server.opts.Logger.Error("engineio: receiver panicked",
				"panic", panics.Describe(v), "stack", string(debug.Stack()))
			c.terminate(ReasonInternalError, nil)
		}
	}()
	call()
}

// receive handles one packet. The reader of the current transport calls it, one packet at a time.
// An error means that the connection can't go on.
func (c *Conn) receive(p packet) error {
	switch p.kind {
	case packetMessage:
		c.deliver(p)
	case packetPong:
		c.onPong()
	case packetPing:
		return &protocolError{ReasonTransportError, errHeartbeatSide.Error()}
	}
	return nil // a server ignores all others in this state
}
