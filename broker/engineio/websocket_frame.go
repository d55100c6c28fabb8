package engineio

import (
	"encoding/binary"
	"fmt"
)

// The opcodes of WebSocket frames (RFC 6455, 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// The WebSocket close codes that are used here (RFC 6455, 7.4.1).
const (
	closeNormal        = 1000
	closeGoingAway     = 1001
	closeProtocolError = 1002
	closeInvalidData   = 1007
	closePolicy        = 1008
	closeTooBig        = 1009
)

const (
	finBit  = 0x80
	rsvBits = 0x70
	maskBit = 0x80

	// maxHeaderSize is the largest header that the server writes, without a mask.
	maxHeaderSize = 10
	// maxControlPayload is the most that a control frame may carry.
	maxControlPayload = 125
)

// header is a received WebSocket frame header.
type header struct {
	opcode byte
	fin    bool
	mask   [4]byte
	length int64
}

func (h header) control() bool { return h.opcode&0x8 != 0 }

// protocolError is what a client did that ends its WebSocket connection.
type protocolError struct {
	reason Reason
	what   string
}

func (e *protocolError) Error() string { return "engineio: " + e.what }

func violation(format string, args ...any) error {
	return &protocolError{reason: ReasonTransportError, what: "websocket: " + fmt.Sprintf(format, args...)}
}

// parseHeader reads the header at the start of b and returns its size; 0 if b doesn't hold all of
// it. Its error is a protocolError: something that a client may never send.
func parseHeader(b []byte) (h header, size int, err error) {
	if len(b) < 2 {
		return header{}, 0, nil
	}
	h = header{opcode: b[0] & 0x0F, fin: b[0]&finBit != 0, length: int64(b[1] &^ maskBit)}
	switch {
	case b[0]&rsvBits != 0:
		return header{}, 0, violation("reserved bits are set")
	case b[1]&maskBit == 0:
		return header{}, 0, violation("frame is not masked")
	case h.opcode > opBinary && h.opcode < opClose, h.opcode > opPong:
		return header{}, 0, violation("unknown opcode %#x", h.opcode)
	case h.control() && (!h.fin || h.length > maxControlPayload):
		return header{}, 0, violation("control frame is fragmented or too long")
	}
	size = 2
	switch h.length {
	case 126:
		if len(b) < 4 {
			return header{}, 0, nil
		}
		h.length, size = int64(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return header{}, 0, nil
		}
		length := binary.BigEndian.Uint64(b[2:])
		if length>>63 != 0 {
			return header{}, 0, violation("length has its top bit set")
		}
		h.length, size = int64(length), 10
	}
	if len(b) < size+len(h.mask) {
		return header{}, 0, nil
	}
	return h, size + copy(h.mask[:], b[size:]), nil
}

// appendHeader appends the header of a whole, unmasked frame.
func appendHeader(dst []byte, opcode byte, length int) []byte {
	dst = append(dst, finBit|opcode)
	switch {
	case length <= maxControlPayload:
		return append(dst, byte(length))
	case length <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(length))
	}
}

// headerSize returns how many bytes appendHeader appends.
func headerSize(length int) int {
	switch {
	case length <= maxControlPayload:
		return 2
	case length <= 0xFFFF:
		return 4
	default:
		return maxHeaderSize
	}
}
