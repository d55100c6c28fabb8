package engineio

import "testing"

// A timed frame tells when all of it has left the queue for the client, and only then.
func TestTimedFrame(t *testing.T) {
	size := len(text("one").wire)
	for name, test := range map[string]struct {
		take func(q *queue)
		want int
	}{
		"partly written":              {func(q *queue) { q.advance(size - 1) }, 0},
		"written in parts":            {func(q *queue) { q.advance(size - 1); q.advance(1) }, 1},
		"written with the next":       {func(q *queue) { q.advance(size + 1) }, 1},
		"in a poll's answer":          {func(q *queue) { q.payload(1000) }, 1},
		"replaced":                    {func(q *queue) { q.replace(keyed("k", "three"), 2) }, 0},
		"encoded again, then written": {func(q *queue) { q.toBase64(); q.advance(size) }, 1},
		"dropped":                     {func(q *queue) { q.clear() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var q queue
			written := 0
			q.push(keyed("k", "one").Timed(func() { written++ }), 1)
			q.push(text("two"), 2)
			test.take(&q)
			if written != test.want {
				t.Errorf("it was written %d times, want %d", written, test.want)
			}
		})
	}
}

// The copy for one connection leaves the frame of the others alone.
func TestTimedFrameIsACopy(t *testing.T) {
	s := start(t)
	ana, anas := s.dial(t)
	luis, luiss := s.dial(t)
	f, written := text("hello"), make(chan struct{}, 2)
	anas.Send(f.Timed(func() { written <- struct{}{} }), false)
	luiss.Send(f, false)
	ana.want("4hello")
	luis.want("4hello")
	<-written
	if len(written) > 0 {
		t.Error("the frame of the other connection is timed as well")
	}
}
