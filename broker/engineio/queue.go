package engineio

// idleQueueCap is how many slots an empty queue keeps for the next messages.
const idleQueueCap = 32

// queue is what waits to be written to one connection, in order. The goroutine that writes the
// connection takes from the front; any goroutine may append. The caller does the locking.
type queue struct {
	frames []*Frame
	offset int // bytes of the first frame that are written already
	cost   int // of all frames
}

func (q *queue) empty() bool { return len(q.frames) == 0 }

// ends reports whether only the end of the connection is left.
func (q *queue) ends() bool { return len(q.frames) > 0 && q.frames[0].last }

func (q *queue) push(f *Frame) {
	q.frames = append(q.frames, f)
	q.cost += f.cost()
}

// toBase64 gives the queue the form that a client without binary WebSocket frames reads. No part
// of the first frame may be written yet.
func (q *queue) toBase64() {
	q.cost = 0
	for i, f := range q.frames {
		q.frames[i] = f.inBase64()
		q.cost += q.frames[i].cost()
	}
}

// gather returns bytes from the front of the queue, to be written in one go. It copies several
// small frames into scratch and returns a single or a large one as it is. It takes nothing off
// the queue.
func (q *queue) gather(scratch []byte) []byte {
	if q.empty() {
		return nil
	}
	first := q.frames[0].wire[q.offset:]
	if len(q.frames) == 1 || len(first) > len(scratch)/2 {
		return first
	}
	n := copy(scratch, first)
	for _, f := range q.frames[1:] {
		if len(f.wire) > len(scratch)-n {
			break
		}
		n += copy(scratch[n:], f.wire)
	}
	return scratch[:n]
}

// advance takes n written bytes off the front.
func (q *queue) advance(n int) {
	done := 0
	for n > 0 {
		rest := len(q.frames[done].wire) - q.offset
		if n < rest {
			q.offset += n
			break
		}
		n -= rest
		q.offset = 0
		done++
	}
	q.discard(done)
}

// payload takes frames off the front and returns them in the form of long-polling: at least one,
// and as many more as stay within limit bytes. The end of the connection has no such form; see
// Conn.takeAnswer.
func (q *queue) payload(limit int64) []byte {
	size, count := 0, 0
	for _, f := range q.frames {
		if count > 0 && (f.last || int64(size+f.payloadSize()) > limit) {
			break
		}
		size += f.payloadSize()
		count++
	}
	body := make([]byte, 0, size)
	for _, f := range q.frames[:count] {
		body = f.appendPayload(body)
	}
	q.discard(count)
	return body
}

// discard takes the first n frames off the queue.
func (q *queue) discard(n int) {
	for _, f := range q.frames[:n] {
		q.cost -= f.cost()
	}
	left := copy(q.frames, q.frames[n:])
	clear(q.frames[left:])
	q.frames = q.frames[:left]
	if left == 0 && cap(q.frames) > idleQueueCap {
		q.frames = nil
	}
}

// clear empties the queue. It returns the number of messages that were in it and that nobody keeps.
func (q *queue) clear() int {
	messages := 0
	for _, f := range q.frames {
		if !f.control && !f.kept {
			messages++
		}
	}
	*q = queue{}
	return messages
}
