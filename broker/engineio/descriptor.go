package engineio

// descriptor is the number of a connection's socket, with which the server writes to the socket
// itself. Through package net, a write takes one more lock and reads three more structures, which are
// rarely in the processor's cache. Conn.mu guards the descriptor.
//
// # Order
//
// The kernel gives the number of a closed socket to the next file that is opened. So the number may
// only be used while the socket can't be closed. The one goroutine that writes to the connection
// (Conn.busy) holds the number for one write, which doesn't wait for the client. It begins and ends
// under Conn.mu, and so does terminate. So there are two cases:
//
//   - terminate finds nobody who holds the number. It closes the socket. Nobody can hold the number
//     afterwards: takeChunk and makeRoom leave a closed connection alone.
//   - terminate finds the number held. It leaves the socket to the holder. The holder has written
//     when it gets the mutex again. It finds the socket left to it, and closes it.
//
// So exactly one of the two closes the socket, and no write to the number is under way then or begins
// later. Nobody else closes it. net/http gives up a connection that is hijacked, and [Wrapped] asks
// the same of listeners. Package net closes a socket that is garbage, but the holder's connection
// refers to its link. Shutting down one half of the socket (link.closeWrite) doesn't free the number.
type descriptor struct {
	number int32 // 0 if the server writes through package net
	held   bool  // a write is using it
	left   bool  // the holder is to close the socket
	abrupt bool  // how
}

// leave is called once, when the connection has ended. It leaves closing the socket to the holder,
// and reports whether there is one. The caller holds Conn.mu.
func (d *descriptor) leave(abrupt bool) bool {
	d.left, d.abrupt = d.held, abrupt
	return d.left
}

// setLink makes l the connection's transport. The caller holds mu, or nobody else knows the
// connection yet.
func (c *Conn) setLink(l *link) {
	c.ws = l
	if c.server.direct {
		c.socket.number = l.number
	}
}

// tryWrite writes what fits into the socket's buffer. The caller holds the descriptor, which has this
// number.
func (c *Conn) tryWrite(number int32, p []byte) (n int, err error) {
	if number == 0 {
		return c.ws.writeSome(p, false)
	}
	n, _, err = tryWrite(uintptr(number), p) //nolint:gosec // the system numbers files from 0
	return n, err
}
