package engineio

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// keyed returns a message that replaces those with the same key; "" for none.
func keyed(key, message string, attachments ...[]byte) *Frame {
	f := NewFrame([]byte(message), attachments...)
	var k ConflationKey
	copy(k[:], key)
	return f.Conflate(k)
}

// queueModel is a queue as a list.
type queueModel struct {
	frames []place // whose marks are indexes of sent
	sent   []*Frame
	begun  int // bytes of the first frame that are written
	stay   int // frames at the front that can't be replaced
}

// push appends a frame and returns the position of the one that it replaces.
func (m *queueModel) push(f *Frame) (replaced uint64) {
	for i := len(m.frames) - 1; i >= m.stay && f.conflates(); i-- {
		if m.frame(i).key == f.key {
			replaced = m.frames[i].position
			m.frames = slices.Delete(m.frames, i, i+1)
			break
		}
	}
	m.sent = append(m.sent, f)
	m.frames = append(m.frames, place{m.last(), m.last() - 1})
	return replaced
}

func (m *queueModel) last() uint64 { return uint64(len(m.sent)) }

func (m *queueModel) frame(i int) *Frame { return m.sent[m.frames[i].mark] }

// begin starts a write of so many bytes.
func (m *queueModel) begin(bytes int) {
	m.stay = 0
	for bytes += m.begun; bytes > 0; m.stay++ {
		bytes -= len(m.frame(m.stay).wire)
	}
}

// write returns the first n bytes, which leave the queue.
func (m *queueModel) write(n int) (written []byte) {
	n += m.begun
	for len(m.frames) > 0 && n >= len(m.frame(0).wire) {
		written = append(written, m.frame(0).wire[m.begun:]...)
		n -= len(m.frame(0).wire)
		m.frames, m.begun = m.frames[1:], 0
	}
	if n > 0 {
		written = append(written, m.frame(0).wire[m.begun:n]...)
		m.begun = n
	}
	m.stay = min(n, 1)
	return written
}

func (m *queueModel) cost() (sum int) {
	for i := range m.frames {
		sum += m.frame(i).cost()
	}
	return sum
}

// TestQueueReplaces compares a queue with a list, over random frames, keys, writes and stalls.
func TestQueueReplaces(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { testQueueReplaces(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func testQueueReplaces(t *testing.T, random *rand.Rand) {
	var q queue
	var m queueModel
	keys, patience, scratch := 1+random.IntN(60), 1+random.IntN(60), make([]byte, 300)
	push := func() {
		key := ""
		if random.IntN(4) > 0 {
			key = fmt.Sprintf("%08d key", random.IntN(keys))
		}
		f := keyed(key, strings.Repeat("x", random.IntN(150))+fmt.Sprint(m.last()))
		last, want, got := m.last(), m.push(f), uint64(0)
		if f.conflates() {
			before, freed := q.cost, q.olderCost(f, last)
			got = q.replace(f, last)
			if before-freed != q.cost {
				t.Fatalf("replacing freed %d, want %d", before-q.cost, freed)
			}
		}
		q.push(f, m.last())
		if got != want {
			t.Fatalf("replaced %d, want %d", got, want)
		}
	}
	for range 2000 {
		if random.IntN(patience) > 0 {
			push()
			continue
		}
		if !q.empty() && q.offset == 0 && random.IntN(4) == 0 { // a poll takes what fits
			count := len(q.frames)
			got := q.payload(int64(random.IntN(2000)))
			var want []byte
			for i := range count - len(q.frames) {
				want = m.frame(i).appendPayload(want)
			}
			m.frames = m.frames[count-len(q.frames):]
			if !bytes.Equal(got, want) {
				t.Fatalf("the payload is %q, want %q", got, want)
			}
		} else if chunk := q.gather(scratch[:random.IntN(2)*len(scratch)]); chunk != nil {
			chunk = bytes.Clone(chunk)
			m.begin(len(chunk))
			for range random.IntN(10) { // while the write is under way
				push()
			}
			n := random.IntN(len(chunk) + 1)
			q.advance(n)
			if want := m.write(n); !bytes.Equal(chunk[:n], want) {
				t.Fatalf("written %q, want %q", chunk[:n], want)
			}
		}
		if len(q.frames) != len(m.frames) || q.cost != m.cost() {
			t.Fatalf("%d frames that cost %d, want %d that cost %d", len(q.frames), q.cost, len(m.frames), m.cost())
		}
		if want := m.last() + 1; len(m.frames) > 0 && q.first(m.last()) != m.frames[0].position || len(m.frames) == 0 && q.first(m.last()) != want {
			t.Fatalf("the first position is %d", q.first(m.last()))
		}
	}
	if n := q.clear(); n != len(m.frames) {
		t.Errorf("%d messages were undelivered, want %d", n, len(m.frames))
	}
}

// stallWriting sends to a client that doesn't read until nothing more is written. It returns the
// messages.
func (s *session) stallWriting(t *testing.T) (sent []string) {
	t.Helper()
	stalled := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.stalled
	}
	for n := 0; !stalled(); n++ {
		if n > 1000 {
			t.Fatal("the client takes everything")
		}
		message := fmt.Sprintf("%d%s", n, strings.Repeat("x", 100_000))
		s.push(t, message)
		sent = append(sent, message)
		eventually(t, "the message is written, or the client has stalled", func() bool {
			return stalled() || s.idle()
		})
	}
	return sent
}

// idle reports whether everything is written.
func (s *session) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.empty()
}

// wantPayloads reads the payloads of frames.
func wantPayloads(t *testing.T, nc net.Conn, want ...string) {
	t.Helper()
	for i, payload := range want {
		f, err := ws.ReadFrame(nc)
		if err != nil || string(f.Payload) != payload {
			t.Fatalf("frame %d: %.20q, %v; want %.20q", i, f.Payload, err, payload)
		}
	}
}

// send queues a frame and returns the positions of it and of the one that it replaces.
func (s *session) send(t *testing.T, f *Frame) (position, replaced uint64) {
	t.Helper()
	position, replaced, reason := s.SendNumbered(f, false)
	if reason != Queued {
		t.Fatalf("the message was dropped: %v", reason)
	}
	return position, replaced
}

// A client that has stalled gets the last message of each key, in the order of these, and everything
// else.
func TestStalledClientGetsTheLast(t *testing.T) {
	tally := newTally()
	s := start(t, func(o *Options) { o.MaxQueuedBytes, o.Observer = 64<<20, tally })
	nc, ses := s.rawClient(t)
	want := ses.stallWriting(t)
	first, replaced := ses.send(t, keyed("a", "a1", []byte("one"), []byte("more")))
	if replaced != 0 {
		t.Errorf("the first message replaced %d", replaced)
	}
	ses.push(t, "plain")
	ses.send(t, keyed("b", "b1"))
	last, replaced := ses.send(t, keyed("a", "a2", []byte("two"), []byte("more")))
	if replaced != first {
		t.Errorf("the second message replaced %d, want %d", replaced, first)
	}
	if _, replaced := ses.send(t, keyed("a", "a3", []byte("three"))); replaced != last {
		t.Errorf("the third message replaced %d, want %d", replaced, last)
	}
	for i := range want {
		want[i] = "4" + want[i]
	}
	wantPayloads(t, nc, append(want, "4plain", "4b1", "4a3", "three")...)
	eventually(t, "the client takes messages", ses.takesMessages)
	ses.send(t, keyed("a", "a4"))
	wantPayloads(t, nc, "4a4")
	tally.mu.Lock()
	defer tally.mu.Unlock()
	if tally.replaced != 2 || len(tally.dropped) > 0 {
		t.Errorf("%d replaced and %v dropped, want 2 and none", tally.replaced, tally.dropped)
	}
}

// Messages that wait between two polls are replaced, and the limit counts only those that wait.
func TestReplacedBetweenPolls(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxQueuedBytes, o.Policy = 10_000, Drop })
	c, ses := s.poller(t)
	ses.push(t, "first")
	for n := range 100 {
		ses.send(t, keyed("a", fmt.Sprint("a", n, strings.Repeat("x", 4000)), []byte("attached")))
		ses.send(t, keyed("b", fmt.Sprint("b", n)))
	}
	ses.push(t, strings.Repeat("y", 5000))
	if _, _, reason := ses.SendNumbered(keyed("c", strings.Repeat("z", 4000)), false); reason != DropQueueFull {
		t.Errorf("another message of that size: %q, want that the queue is full", reason)
	}
	if _, _, reason := ses.SendNumbered(keyed("a", strings.Repeat("z", 6000)), false); reason != DropQueueFull {
		t.Errorf("a larger one in the place of another: %q, want that the queue is full", reason)
	}
	ses.send(t, keyed("a", "last"+strings.Repeat("x", 4000)))
	c.wantPoll(strings.Join([]string{"4first", "4b99", "4" + strings.Repeat("y", 5000), "4last" + strings.Repeat("x", 4000)}, "\x1e"))
}

// A confirmation covers what was queued before its ping, whatever was replaced there.
func TestConfirmedAfterReplacement(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxQueuedBytes = 64 << 20 })
	nc, ses := s.rawClient(t)
	written := ses.stallWriting(t)
	ses.send(t, keyed("a", "a1"))
	before := ses.push(t, "before")
	ses.Ping()
	ses.send(t, keyed("a", "a2"))
	after, _ := ses.send(t, keyed("a", "a3"))
	for i := range written {
		written[i] = "4" + written[i]
	}
	wantPayloads(t, nc, append(written, "4before", "2", "4a3")...)
	if got := ses.confirmed.Load(); got != 0 {
		t.Errorf("position %d is confirmed already", got)
	}
	if err := ws.WriteFrame(nc, ws.MaskFrame(ws.NewTextFrame([]byte("3")))); err != nil {
		t.Fatal(err)
	}
	ses.wantConfirmed(t, before)
	if got := ses.confirmed.Load(); got >= after {
		t.Errorf("position %d is confirmed, which comes after the ping", got)
	}
}

// A ping that waits in the queue is known to wait, although messages before it were replaced.
func TestPingWaitsBehindReplacement(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxQueuedBytes = 64 << 20 })
	_, ses := s.rawClient(t)
	ses.stallWriting(t)
	ses.Ping()
	for n := range 50 {
		ses.send(t, keyed("a", fmt.Sprint("a", n)))
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if !ses.pingWaits() {
		t.Error("the ping counts as written")
	}
}

// BenchmarkSend is what sending costs to a client that keeps up, without its socket.
func BenchmarkSend(b *testing.B) {
	for name, f := range map[string]*Frame{"plain": keyed("", "hello"), "keyed": keyed("a", "hello")} {
		b.Run(name, func(b *testing.B) {
			var q queue
			last := uint64(0)
			for b.Loop() {
				last++
				q.push(f, last)
				q.advance(len(q.gather(nil)))
			}
		})
	}
}

// BenchmarkReplace is what a message costs whose predecessor waits at the front of a long queue of a
// client that has stalled.
func BenchmarkReplace(b *testing.B) {
	for _, size := range []int{32, 1000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var q queue
			frames := make([]*Frame, size)
			last := uint64(0)
			for i := range frames {
				frames[i] = keyed(fmt.Sprintf("%08d", i), "hello")
				last++
				q.push(frames[i], last)
			}
			for b.Loop() {
				f := frames[last%uint64(size)]
				q.replace(f, last)
				last++
				q.push(f, last)
			}
		})
	}
}
