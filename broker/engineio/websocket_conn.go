package engineio

import (
	"errors"
	"io"
)

// read reads a WebSocket connection until the link is closed, and then makes the end known. While
// there is nothing to read, the connection is parked, and read is called again on another
// goroutine. r is nil if the connection was parked without its reader.
func (c *Conn) read(r *reader) {
	if r == nil {
		r = c.resumeReader()
	}
	err := c.readMessages(r)
	for errors.Is(err, errIdle) {
		keep := r
		if r.blank() {
			keep = nil
		}
		s := c.server // c may have ended when park returns
		switch s.parker.park(c, r.link, keep) {
		case parked:
			if keep == nil {
				s.blankReaders.put(r)
			}
			return
		case cannotPark:
			r.parks = false
		}
		err = c.readMessages(r)
	}
	var broken *protocolError
	switch {
	case errors.As(err, &broken):
		// The client is told why. What else it sends means nothing, but closing with it unread
		// could make the client's system drop what it was told.
		c.failProtocol(broken)
		r.forget()
		r.discard()
	case err == nil:
		<-c.Done() // only writing is left
	}
	c.terminate(readReason(err), err)
	r.close()
	c.finish()
}

// readMessages hands messages to the receiver. It returns nil when the peer has sent its close
// frame.
func (c *Conn) readMessages(r *reader) error {
	for {
		r.limit, r.keep = c.messageLimits()
		opcode, payload, err := r.next()
		if err != nil {
			return err
		}
		// The first message comes right after the handshake, so parking before it doesn't pay.
		r.parks = r.link.canPark()
		switch opcode {
		case opText:
			var p packet
			if p, err = parsePacket(payload); err != nil {
				return &protocolError{ReasonParseError, err.Error()}
			}
			if answer := p.kind == packetPong && c.awaitsPong(); p.kind != packetMessage && !answer {
				if err = r.countIdle(); err != nil {
					return err
				}
			}
			if p.kind == packetClose {
				c.CloseAfterFlush(ReasonTransportClose)
			} else if err = c.receive(p); err != nil {
				return err
			}
		case opBinary:
			data := make([]byte, len(payload))
			copy(data, payload)
			// A message is never an error.
			_ = c.receive(packet{kind: packetMessage, binary: true, data: data})
		case opPing:
			c.pong(payload)
		case opClose:
			c.peerClosed()
			return nil
		}
	}
}

// pong answers a WebSocket ping. A client that pings without reading the answers is a slow
// consumer.
func (c *Conn) pong(payload []byte) {
	_ = c.Send(newControlFrame(opPong, payload), false)
}

// peerClosed is called when the peer has sent its close frame.
func (c *Conn) peerClosed() {
	c.mu.Lock()
	c.peerDone = true
	c.beginClose(ReasonTransportClose, nil)
	done := c.state == stateClosing && c.out.empty() && !c.busy
	c.mu.Unlock()

	if done {
		c.terminate(ReasonTransportClose, nil)
	}
}

// readReason returns the reason for an end after an error of reading.
func readReason(err error) Reason {
	var broken *protocolError
	switch {
	case errors.As(err, &broken):
		return broken.reason
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ReasonTransportClose
	default:
		return ReasonTransportError
	}
}

// failProtocol closes gracefully after a WebSocket peer has broken the protocol. It expects no
// answer to the close frame.
func (c *Conn) failProtocol(broken *protocolError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	c.beginClose(broken.reason, broken)
}
