package engineio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Whatever the sizes of the writes, a queue gives out what went in, in order.
func TestQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q queue
	var in, out []byte
	scratch := make([]byte, 1000)
	for range 20_000 {
		if random.IntN(2) == 0 {
			f := text(strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(700)))
			in = append(in, f.wire...)
			q.push(f, 0)
			continue
		}
		if chunk := q.gather(scratch); chunk != nil {
			n := random.IntN(len(chunk) + 1)
			out = append(out, chunk[:n]...)
			q.advance(n)
		}
	}
	for chunk := q.gather(scratch); chunk != nil; chunk = q.gather(scratch) {
		out = append(out, chunk...)
		q.advance(len(chunk))
	}
	if !bytes.Equal(in, out) || q.cost != 0 || q.offset != 0 {
		t.Errorf("in %d bytes, out %d; %+v", len(in), len(out), q)
	}
}

func TestFrameForms(t *testing.T) {
	for _, size := range []int{0, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("é"), size/2)
		f := NewFrame(payload, []byte{}, payload)
		r := bytes.NewReader(f.wire)
		for i, want := range []struct {
			op   ws.OpCode
			data []byte
		}{{ws.OpText, append([]byte("4"), payload...)}, {ws.OpBinary, nil}, {ws.OpBinary, payload}} {
			got, err := ws.ReadFrame(r)
			if err != nil || !got.Header.Fin || got.Header.Masked || got.Header.OpCode != want.op || !bytes.Equal(got.Payload, want.data) {
				t.Errorf("size %d, frame %d: %+v %v", size, i, got.Header, err)
			}
		}
		if r.Len() != 0 {
			t.Errorf("size %d: %d bytes too many", size, r.Len())
		}
		var parsed []packet
		if err := parsePayload(f.appendPayload(nil), func(p packet) bool { parsed = append(parsed, p); return true }); err != nil {
			t.Fatal(err)
		}
		if len(parsed) != 3 || !bytes.Equal(parsed[0].data, payload) || len(parsed[1].data) != 0 || !bytes.Equal(parsed[2].data, payload) {
			t.Errorf("size %d: %d packets", size, len(parsed))
		}
		if n := len(f.appendPayload(nil)); f.payloadSize() < n {
			t.Errorf("size %d: payload of %d bytes, announced %d", size, n, f.payloadSize())
		}
	}
}

func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"", "4", "4hello", "4a\x1e4b", "bAQID", "b", "b=", "bAQ", "4\xff", "2probe", "7", "\x1e", "4a\x1e", "b\x1e6"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		var again [][]byte
		err := parsePayload([]byte(payload), func(p packet) bool {
			if p.binary {
				again = append(again, NewBinaryFrame(p.data).appendPayload(nil))
			} else {
				again = append(again, append([]byte{p.kind}, p.data...))
			}
			return true
		})
		if err != nil || strings.Contains(payload, "b") {
			return // base64 has several ways to say one thing
		}
		if got := bytes.Join(again, []byte{recordSeparator}); string(got) != payload {
			t.Errorf("%q became %q", payload, got)
		}
	})
}

// pieces is a connection that gives its bytes a few at a time.
type pieces struct {
	net.Conn
	rest []byte
	step int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.step)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// quietIntake returns an intake without a server and without limits.
func quietIntake() *intake {
	return (&Conn{server: &Server{opts: Options{}.withDefaults(), timers: newTimers()}}).newIntake()
}

func readAll(t *testing.T, stream []byte, step int) (messages []string, err error) {
	const limit = 10_000
	r := newReader(&link{nc: &pieces{rest: slices.Clone(stream), step: step}}, quietIntake(), limit, &buffers{})
	defer r.release()
	for {
		opcode, payload, err := r.next()
		if err != nil {
			return messages, err
		}
		if len(payload) > limit || opcode == opText && !utf8.Valid(payload) {
			t.Fatalf("opcode %d, %d bytes", opcode, len(payload))
		}
		messages = append(messages, string(rune('0'+opcode))+string(payload))
	}
}

// However the bytes of a stream arrive, they mean the same.
func FuzzReader(f *testing.F) {
	f.Add(masked(true, ws.OpText, "4hello"), 1)
	f.Add(slices.Concat(masked(false, ws.OpText, "4he"), masked(true, ws.OpPing, "x"), masked(true, ws.OpContinuation, "llo")), 3)
	f.Add(masked(true, ws.OpBinary, strings.Repeat("x", 5000)), 100)
	f.Add(masked(true, ws.OpBinary, strings.Repeat("x", 10_001)), 100)
	f.Add([]byte{0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}, 1)
	f.Add(masked(true, ws.OpText, "\xff"), 5)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		if step < 1 || len(stream) > 20_000 {
			return
		}
		whole, wholeErr := readAll(t, stream, len(stream)+1)
		some, someErr := readAll(t, stream, step)
		if !slices.Equal(whole, some) || wholeErr.Error() != someErr.Error() {
			t.Errorf("%q (%v) in steps of %d: %q (%v)", whole, wholeErr, step, some, someErr)
		}
	})
}

// The reader unmasks payloads of every length, however they are cut.
func TestUnmask(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for length := range 300 {
		payload := make([]byte, length)
		for i := range payload {
			payload[i] = byte(random.Uint32())
		}
		mask := [4]byte{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}
		frame := appendHeader(nil, opBinary, length)
		frame[1] |= maskBit
		frame = append(frame, mask[:]...)
		for i, b := range payload {
			frame = append(frame, b^mask[i%4])
		}
		for _, step := range []int{1, 3, 16, 1000} {
			got, _ := readAll(t, frame, step)
			if want := []string{"2" + string(payload)}; !slices.Equal(got, want) {
				t.Fatalf("length %d, step %d: %x, want %x", length, step, got, want)
			}
		}
	}
}

// An announced message costs no memory until its bytes arrive.
func TestAnnouncedLengthIsNotAllocated(t *testing.T) {
	stream := append([]byte{0x82, 0xFF, 0, 0, 0, 0, 0x3F, 0, 0, 0, 1, 2, 3, 4}, make([]byte, 20_000)...)
	r := newReader(&link{nc: &pieces{rest: stream, step: 1000}}, quietIntake(), 1<<30, &buffers{})
	if _, _, err := r.next(); err != io.EOF {
		t.Fatal(err)
	}
	if cap(r.message) > 2*20_000 {
		t.Errorf("%d bytes allocated", cap(r.message))
	}
}

// A reader that waits holds no buffer.
func TestIdleReaderHoldsNoBuffer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	peer, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = peer.Close() }()
	nc, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := peer.Write(masked(true, ws.OpText, "4hello")); err != nil {
		t.Fatal(err)
	}
	r := newReader(newLink(nc), quietIntake(), 1000, &buffers{})
	if _, payload, err := r.next(); err != nil || string(payload) != "4hello" {
		t.Fatalf("%q %v", payload, err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, _, err := r.next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if r.buf != nil {
		t.Error("it holds a buffer")
	}
}
