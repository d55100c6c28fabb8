package cluster

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
)

func testEnvelope() *wire.Envelope {
	return &wire.Envelope{
		Sender: "NODE000001", Incarnation: 1, Sequence: 7, SentUnixMs: 1234,
		Body: &wire.Envelope_Publication{Publication: &wire.Publication{Topic: "t", Payload: []byte("hello")}},
	}
}

// A frame opens only with the same channel and key, and only if no bit has changed.
func TestSeal(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	for name, s := range map[string]*sealer{"with a key": newSealer([][]byte{key}, 1000), "without": newSealer(nil, 1000)} {
		t.Run(name, func(t *testing.T) {
			frame, err := s.seal("channel", testEnvelope())
			if err != nil {
				t.Fatal(err)
			}
			e, reason := s.open("channel", frame)
			if reason != "" || !proto.Equal(e, testEnvelope()) {
				t.Fatalf("it opens as %v, %q", e, reason)
			}
			if !s.keyed() {
				return
			}
			for i := range len(frame) * 8 {
				changed := bytes.Clone(frame)
				changed[i/8] ^= 1 << (i % 8)
				// Unused flags have no meaning so far.
				if e, reason := s.open("channel", changed); reason == "" && (i/8 != 1 || i%8 == 0) {
					t.Errorf("with bit %d changed it opens as %v", i, e)
				}
			}
			if _, reason := s.open("channe", frame); reason != LostBadMAC {
				t.Errorf("by another channel: %q, want %q", reason, LostBadMAC)
			}
		})
	}
}

// Envelopes that are too large are neither sealed nor opened.
func TestSealLimits(t *testing.T) {
	e := testEnvelope()
	size := proto.Size(e)
	if _, err := newSealer(nil, size).seal("c", e); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := newSealer(nil, size-1).seal("c", e); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the limit: %v, want ErrTooLarge", err)
	}
	frame, err := newSealer(nil, size).seal("c", e)
	if err != nil {
		t.Fatal(err)
	}
	if _, reason := newSealer(nil, size-1).open("c", frame); reason != LostTooLarge {
		t.Errorf("taken is what is too large: %q", reason)
	}
	e.Sender = "\xff234567890"
	if _, err := newSealer(nil, 1000).seal("c", e); err == nil {
		t.Error("sealed is what isn't UTF-8")
	}
}

// Whatever comes over the bus, open returns an envelope or a reason, and with a key only envelopes
// that were sealed with it.
func FuzzOpen(f *testing.F) {
	key := bytes.Repeat([]byte("k"), 32)
	keyed, open := newSealer([][]byte{key}, 1<<20), newSealer(nil, 1<<20)
	for _, s := range []*sealer{keyed, open} {
		frame, err := s.seal("c", testEnvelope())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Add([]byte{})
	f.Add([]byte{2, 1})
	f.Fuzz(func(t *testing.T, frame []byte) {
		e, reason := open.open("c", frame)
		if (e == nil) != (reason != "") {
			t.Errorf("an envelope %v and a reason %q", e, reason)
		}
		if _, reason := keyed.open("other", frame); reason == "" {
			t.Error("a frame opened that was never sealed")
		}
	})
}
