package engineio

// batchSize is how many connections a [Batch] holds, and how many a flusher takes at a time. Each is
// written with a system call of some microseconds. So a lock for every sixteen costs nothing, and
// nobody waits long for the others of a batch.
const batchSize = 16

// Batch collects connections that a message has been queued for, and hands them to the flushers
// together. For a message to many connections that is cheaper than [Conn.Send]. The zero Batch is
// empty and ready to use, by one goroutine.
//
// A message may wait until Flush. So Flush must be called soon, whatever happens: a connection that is
// in a batch is in no other, and waits for this one. The goroutine must not wait for a client before.
type Batch struct {
	server *Server // of the connections, which all have the same; nil while there are none
	n      int
	conns  [batchSize]*Conn
}

// Send is [Conn.Send] of c.
func (b *Batch) Send(c *Conn, f *Frame, volatile bool) DropReason {
	_, _, reason := b.SendNumbered(c, f, volatile)
	return reason
}

// SendNumbered is [Conn.SendNumbered] of c.
func (b *Batch) SendNumbered(c *Conn, f *Frame, volatile bool) (position, replaced uint64, reason DropReason) {
	if b.n == batchSize {
		b.Flush() // not while a connection is locked
	}
	return c.send(f, volatile, b)
}

// add adds a connection that has been marked as scheduled. There is room for it.
func (b *Batch) add(c *Conn) {
	b.server = c.server
	b.conns[b.n] = c
	b.n++
}

// Flush hands over the connections in the batch, which is empty then.
func (b *Batch) Flush() {
	if b.n == 0 {
		return
	}
	b.server.flushing.push(b.conns[:b.n]...)
	clear(b.conns[:b.n])
	b.server, b.n = nil, 0
}
