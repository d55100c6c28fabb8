package load

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		masked := AppendFrame(nil, OpText, bytes.Repeat([]byte("ab"), size)[:size])
		plain := unmask(masked)
		for cut := range min(len(plain), 12) {
			if _, _, n, err := NextFrame(plain[:cut]); n != 0 || err != nil {
				t.Fatalf("%d of %d bytes made a frame of %d, error %v", cut, len(plain), n, err)
			}
		}
		opcode, payload, n, err := NextFrame(append(plain, "next"...))
		if err != nil || opcode != OpText || len(payload) != size || n != len(plain) {
			t.Errorf("a frame of %d bytes came back as opcode %d, %d bytes of %d, error %v", size, opcode, len(payload), n, err)
		}
	}
}

// unmask turns a client's frame into a server's.
func unmask(frame []byte) []byte {
	head := map[byte]int{126: 4, 127: 10}[frame[1]&0x7F]
	if head == 0 {
		head = 2
	}
	plain := bytes.Clone(frame[:head])
	plain[1] &= 0x7F
	mask := frame[head : head+4]
	for i, c := range frame[head+4:] {
		plain = append(plain, c^mask[i&3])
	}
	return plain
}

func TestFramesThatNobodyShouldSend(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"not the last":   {[]byte{0x01, 0}, errFragment},
		"a continuation": {[]byte{0x80, 0}, errFragment},
		"compressed":     {[]byte{0xC1, 0}, errFragment},
		"masked":         {[]byte{0x81, 0x80, 0, 0, 0, 0}, errMasked},
	} {
		if _, _, _, err := NextFrame(c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestPayloads(t *testing.T) {
	first := NewPayload(7, 1500*time.Millisecond)
	second := NewPayload(123456789, 4*time.Hour)
	for _, p := range [][]byte{first, second} {
		if len(p) != payloadSize {
			t.Errorf("the payload %s has %d bytes, want %d", p, len(p), payloadSize)
		}
	}
	text := []byte(`{"push":{"channel":"s","pub":{"data":` + string(first) + "}}}\n" + `42["m",` + string(second) + `]`)
	sequence, stamp, rest, ok := NextPayload(text)
	if !ok || sequence != 7 || stamp != 1500*time.Millisecond {
		t.Fatalf("the first delivery is %d at %v, %v", sequence, stamp, ok)
	}
	sequence, stamp, rest, ok = NextPayload(rest)
	if !ok || sequence != 123456789 || stamp != 4*time.Hour {
		t.Fatalf("the second delivery is %d at %v, %v", sequence, stamp, ok)
	}
	if _, _, _, ok = NextPayload(rest); ok || !strings.HasSuffix(string(rest), "}]") {
		t.Errorf("there is a third delivery in %q", rest)
	}
}
