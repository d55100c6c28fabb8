package api

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Limits of HTTP/2 frames that serve no call: empty pieces of messages, settings, windows,
// answers to pings. Each costs the server about as much as a useful frame. For a peer
// without a key, every frame counts.
const (
	// idleFrames is how many such frames a connection may send at once, and in each period.
	idleFrames      = 1000
	idleFramePeriod = 10 * time.Second
	// callFrames is how many each call adds: for its end, a reset, its windows.
	callFrames = 8
	// bytesPerFrame is the number of bytes sent to a peer for which it may send one frame
	// more, since it must open windows for them.
	bytesPerFrame = 32
	// maxEarned bounds how many frames a connection can save up.
	maxEarned = 100_000
	// smallPiece is the size from which on a piece of a message counts as useful. The
	// smallest event of a stream has 10 bytes.
	smallPiece = 10
	// guestBytes is how many bytes from a peer without a key count as one more frame.
	guestBytes = 64
)

const frameHeaderBytes = 9

// frame is the header of an HTTP/2 frame.
type frame struct {
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32
	length int // of the payload
}

// frameScanner finds the frames in the bytes of a connection, which come in pieces.
type frameScanner struct {
	skip   int // remaining bytes of the current payload
	header [frameHeaderBytes]byte
	has    int // bytes of the next header so far
}

// scan calls found for each frame header that b completes.
func (s *frameScanner) scan(b []byte, found func(frame)) {
	for len(b) > 0 {
		if s.skip > 0 {
			n := min(len(b), s.skip)
			s.skip -= n
			b = b[n:]
			continue
		}
		n := copy(s.header[s.has:], b)
		s.has += n
		b = b[n:]
		if s.has < frameHeaderBytes {
			return
		}
		h := &s.header
		s.has, s.skip = 0, int(h[0])<<16|int(h[1])<<8|int(h[2])
		found(frame{http2.FrameType(h[3]), http2.Flags(h[4]), binary.BigEndian.Uint32(h[5:]) & (1<<31 - 1), s.skip})
	}
}

// frameBudget bounds the frames that a peer sends. One goroutine uses it.
type frameBudget struct {
	started bool // the budget has been filled
	left    int64
	since   time.Time // when it was last filled
}

// take counts a frame from the peer and reports whether the peer is within its budget.
// written counts the bytes sent to the peer.
func (b *frameBudget) take(f frame, trusted bool, written *atomic.Int64) bool {
	if !b.started {
		b.started, b.left, b.since = true, idleFrames, time.Now()
	}
	b.left = min(b.left-f.cost(trusted), maxEarned)
	return b.left >= 0 || b.refill(trusted, written)
}

// cost returns what a frame costs. A negative cost adds to the budget.
func (f frame) cost(trusted bool) int64 {
	switch {
	case !trusted:
		return 1 + int64(f.length/guestBytes)
	case f.kind == http2.FrameHeaders:
		return -callFrames
	case f.kind == http2.FrameData && f.length >= smallPiece && !f.flags.Has(http2.FlagDataPadded):
		return -1
	case f.kind == http2.FramePing && !f.flags.Has(http2.FlagPingAck):
		return 0 // gRPC has its own limit
	}
	return 1
}

// refill adds to the budget for the time that has passed and for the bytes sent to the
// peer. It reports whether that is enough.
func (b *frameBudget) refill(trusted bool, written *atomic.Int64) bool {
	now := time.Now()
	b.left += int64(min(now.Sub(b.since), idleFramePeriod) * idleFrames / idleFramePeriod)
	b.since = now
	if sent := written.Swap(0); trusted {
		b.left += sent / bytesPerFrame
	}
	b.left = min(b.left, maxEarned)
	return b.left >= 0
}
