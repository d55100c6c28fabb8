package api

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Bounds of the HTTP/2 frames that bring no call nearer: an empty piece of a
// message, settings, a window, a ping's answer. Each costs the server about as much as
// one that does. A peer that has shown no key pays for all of its frames.
const (
	// idleFrames is how many a connection may send at once, and in ten seconds.
	idleFrames      = 1000
	idleFramePeriod = 10 * time.Second
	// callFrames is how many each call allows: its end, a reset, its windows.
	callFrames = 8
	// bytesPerFrame is for how many bytes that it is sent a peer may send one, as
	// windows have to follow them.
	bytesPerFrame = 32
	// maxEarned bounds what is saved up of both.
	maxEarned = 100_000
	// smallPiece is from how many bytes on a piece of a message is no idle frame.
	// The smallest event of a stream has 10.
	smallPiece = 10
	// guestBytes is for how many bytes of messages a peer without a key pays as for
	// a frame.
	guestBytes = 64
)

const frameHeaderBytes = 9

// frame is the header of an HTTP/2 frame.
type frame struct {
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32
	length int // of what follows
}

// frameScanner finds the frames in what goes over a connection, piece by piece.
type frameScanner struct {
	skip   int // bytes that are left of a frame
	header [frameHeaderBytes]byte
	has    int // bytes of the next header
}

// scan passes on the headers that b completes.
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

// take takes in a frame that the peer has sent, and reports whether that is still
// within bounds. written counts what the peer was sent.
func (b *frameBudget) take(f frame, trusted bool, written *atomic.Int64) bool {
	if !b.started {
		b.started, b.left, b.since = true, idleFrames, time.Now()
	}
	b.left = min(b.left-f.cost(trusted), maxEarned)
	return b.left >= 0 || b.refill(trusted, written)
}

// cost is what a frame costs; what it earns is below zero.
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

// refill adds what time, and what the peer was sent, allow. It reports whether
// that is enough.
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
