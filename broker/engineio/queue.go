package engineio

import "slices"

// idleQueueCap is how many slots an empty queue keeps for the next messages.
const idleQueueCap = 32

// queue is what waits to be written to one connection, in order. The goroutine that writes the
// connection takes from the front; any goroutine may append. The caller does the locking.
type queue struct {
	frames []*Frame
	offset int // bytes of the first frame that are written already
	cost   int // of all frames

	writing int      // how many frames a write that is under way may take off the front
	places  *[]place // one for each frame, once a message may have been replaced; otherwise nil
}

// place says where a frame stands. It keeps a search through a long queue from reading each frame.
type place struct {
	position uint64 // among everything that the connection has queued
	mark     uint64 // of the conflation key
}

func (q *queue) empty() bool { return len(q.frames) == 0 }

// ends reports whether only the end of the connection is left.
func (q *queue) ends() bool { return len(q.frames) > 0 && q.frames[0].last }

// push appends f, whose position is one more than that of the last frame that was pushed.
func (q *queue) push(f *Frame, position uint64) {
	q.frames = append(q.frames, f)
	q.cost += f.cost()
	if q.places != nil {
		q.addPlace(f, position)
	}
}

func (q *queue) addPlace(f *Frame, position uint64) {
	*q.places = append(*q.places, place{position, f.key.mark()})
}

// first returns the position of the first frame, given that of the last one; one more if the queue is
// empty.
func (q *queue) first(last uint64) uint64 {
	if q.places != nil {
		return (*q.places)[0].position
	}
	return last + 1 - uint64(len(q.frames))
}

// older returns the index of the frame that f, which has a key, replaces; -1 if there is none. A frame
// whose bytes may be on their way stays. last is the position of the last frame.
func (q *queue) older(f *Frame, last uint64) int {
	stay := q.writing
	if q.offset > 0 {
		stay = max(stay, 1)
	}
	if q.places == nil && len(q.frames) <= idleQueueCap {
		for i := len(q.frames) - 1; i >= stay; i-- {
			if q.frames[i].key == f.key {
				return i
			}
		}
		return -1
	}
	q.number(last)
	mark, places := f.key.mark(), *q.places
	for i := len(places) - 1; i >= stay; i-- {
		if places[i].mark == mark && q.frames[i].key == f.key {
			return i
		}
	}
	return -1
}

// number gives each frame its place. last is the position of the last frame.
func (q *queue) number(last uint64) {
	if q.places != nil {
		return
	}
	places := make([]place, len(q.frames), cap(q.frames))
	first := q.first(last)
	for i, f := range q.frames {
		places[i] = place{first + uint64(i), f.key.mark()}
	}
	q.places = &places
}

// olderCost returns the cost of the frame that f, which has a key, replaces; 0 if there is none.
func (q *queue) olderCost(f *Frame, last uint64) int {
	i := q.older(f, last)
	if i < 0 {
		return 0
	}
	return q.frames[i].cost()
}

// replace takes the frame that f, which has a key, replaces out of the queue. It returns its position;
// 0 if there is none. last is the position of the last frame.
func (q *queue) replace(f *Frame, last uint64) (position uint64) {
	i := q.older(f, last)
	if i < 0 {
		return 0
	}
	q.number(last)
	position = (*q.places)[i].position
	q.cost -= q.frames[i].cost()
	q.frames = slices.Delete(q.frames, i, i+1)
	*q.places = slices.Delete(*q.places, i, i+1)
	if q.empty() {
		q.places = nil
	}
	return position
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
// the queue: advance does, after the write.
func (q *queue) gather(scratch []byte) []byte {
	if q.empty() {
		return nil
	}
	first := q.frames[0].wire[q.offset:]
	q.writing = 1
	if len(q.frames) == 1 || len(first) > len(scratch)/2 {
		return first
	}
	n, count := copy(scratch, first), 1
	for _, f := range q.frames[1:] {
		if len(f.wire) > len(scratch)-n {
			break
		}
		n += copy(scratch[n:], f.wire)
		count++
	}
	q.writing = count
	return scratch[:n]
}

// advance takes n written bytes off the front.
func (q *queue) advance(n int) {
	q.writing = 0
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
		if f.written != nil {
			f.written()
		}
	}
	left := copy(q.frames, q.frames[n:])
	clear(q.frames[left:])
	q.frames = q.frames[:left]
	if q.places != nil {
		q.discardPlaces(n)
	}
	if left == 0 && cap(q.frames) > idleQueueCap {
		q.frames = nil
	}
}

func (q *queue) discardPlaces(n int) {
	*q.places = slices.Delete(*q.places, 0, n)
	if len(*q.places) == 0 {
		q.places = nil
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
