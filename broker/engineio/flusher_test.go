package engineio

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
)

// A flusher that is woken lets runnable goroutines push first.
func TestFlusherYieldsToPushers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds, least = 100, 80 // the runtime goes another way now and then
	first := 0
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			q, others := newFlushQueue(), 3
			pushed, seen := make(chan struct{}, others), make(chan int)
			go func() {
				q.pop(new([batchSize]*Conn))
				seen <- len(pushed)
			}()
			synctest.Wait()
			for range others {
				go func() { pushed <- struct{}{} }()
			}
			q.push(&Conn{})
			if <-seen == others {
				first++
			}
		})
	}
	if first < least {
		t.Errorf("the others went first %d times of %d, want at least %d", first, rounds, least)
	}
}

// The queue hands out what is pushed, in order and each once, however it is pushed and taken.
func TestFlushQueueKeepsTheOrder(t *testing.T) {
	q := newFlushQueue()
	var pushed, popped []*Conn
	for range 2000 {
		if rand.IntN(3) > 0 && len(pushed)-len(popped) < 300 {
			batch := make([]*Conn, 1+rand.IntN(batchSize))
			for i := range batch {
				batch[i] = &Conn{}
			}
			q.push(batch...)
			pushed = append(pushed, batch...)
		} else if len(popped) < len(pushed) {
			var batch [batchSize]*Conn
			n := q.pop(&batch)
			popped = append(popped, batch[:n]...)
		}
	}
	q.stop()
	var batch [batchSize]*Conn
	for n := q.pop(&batch); n > 0; n = q.pop(&batch) {
		popped = append(popped, batch[:n]...)
	}
	if !slices.Equal(pushed, popped) {
		t.Errorf("pushed %d connections and got %d, or others", len(pushed), len(popped))
	}
}

// Messages arrive in order, whether they are sent with a batch or without, and whatever fits into one
// batch.
func TestBatch(t *testing.T) {
	const clients, messages = 2*batchSize + 3, 5
	s := start(t)
	var conns []*Conn
	var sockets []*client
	for range clients {
		c, ses := s.dial(t)
		conns, sockets = append(conns, ses.Conn), append(sockets, c)
	}
	var b Batch
	for i := range messages {
		f := text(strconv.Itoa(i))
		for _, c := range conns {
			reason := c.Send(f, false)
			if i%2 == 0 {
				reason = b.Send(c, text(strconv.Itoa(i)+" again"), false)
			}
			if reason != Queued {
				t.Fatal(reason)
			}
		}
		b.Flush()
		b.Flush() // of nothing
	}
	for _, c := range sockets {
		for i := range messages {
			c.want("4" + strconv.Itoa(i))
			if i%2 == 0 {
				c.want("4" + strconv.Itoa(i) + " again")
			}
		}
	}
}

// What is in a batch waits for Flush, also if somebody else sends to the same connection.
func TestBatchWaitsForFlush(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	var b Batch
	b.Send(ses.Conn, text("one"), false)
	ses.Send(text("two"), false)
	if n := ses.queued(); n != 2 {
		t.Errorf("%d messages wait, want 2", n)
	}
	b.Flush()
	c.want("4one")
	c.want("4two")
}

func (s *session) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out.frames)
}
