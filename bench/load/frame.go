package load

import (
	"bufio"
	"encoding/binary"
	"errors"
)

// Opcodes of WebSocket frames (RFC 6455, section 5.2).
const (
	OpText   = 0x1
	OpBinary = 0x2
	OpClose  = 0x8
	OpPing   = 0x9
	OpPong   = 0xA
)

var (
	errFragment = errors.New("a fragmented or compressed frame, which no server under test should send")
	errMasked   = errors.New("a masked frame from a server")
)

// NextFrame returns the first frame of b and its size in bytes. The size is 0 if b does not hold
// the whole frame yet.
func NextFrame(b []byte) (opcode byte, payload []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	const fin, masked = 0x80, 0x80
	if b[0]&0xF0 != fin || b[0] == fin {
		return 0, nil, 0, errFragment
	}
	if b[1]&masked != 0 {
		return 0, nil, 0, errMasked
	}
	head, length := 2, int(b[1])
	switch length {
	case 126:
		if len(b) < 4 {
			return 0, nil, 0, nil
		}
		head, length = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return 0, nil, 0, nil
		}
		head, length = 10, int(binary.BigEndian.Uint32(b[6:]))
	}
	if len(b) < head+length {
		return 0, nil, 0, nil
	}
	return b[0] & 0x0F, b[head : head+length], head + length, nil
}

// ReadFrame reads a frame that fits into the reader's buffer. The payload stays valid until the
// next read.
func ReadFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	for want := 2; ; want = r.Buffered() + 1 {
		if _, err := r.Peek(want); err != nil {
			return 0, nil, err
		}
		b, _ := r.Peek(r.Buffered())
		opcode, payload, size, err := NextFrame(b)
		if err != nil {
			return 0, nil, err
		}
		if size > 0 {
			_, _ = r.Discard(size) // it is buffered
			return opcode, payload, nil
		}
	}
}

// AppendFrame appends a client's frame. All frames have the same mask, since there is no proxy to
// protect.
func AppendFrame(b []byte, opcode byte, payload []byte) []byte {
	mask := [4]byte{0x5A, 0x17, 0xC3, 0x88}
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 0x80|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}
