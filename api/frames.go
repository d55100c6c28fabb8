package api

import (
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

const frameHeader = 9

// frameBudget follows the frames that a peer sends. One goroutine uses it.
type frameBudget struct {
	started bool // the budget has been filled
	left    int64
	since   time.Time // when it was last filled
	preface int       // bytes of the client's preface that have been read
	skip    int       // bytes of the frame that is being read
	header  [frameHeader]byte
	has     int // bytes of the header
}

// allow takes in what the peer has sent, and reports whether that is still
// within bounds. written counts what the peer was sent.
func (f *frameBudget) allow(b []byte, trusted bool, written *atomic.Int64) bool {
	if !f.started {
		f.started, f.left, f.since = true, idleFrames, time.Now()
	}
	if f.preface < len(http2.ClientPreface) {
		n := min(len(b), len(http2.ClientPreface)-f.preface)
		f.preface += n
		b = b[n:]
	}
	within := true
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(len(b), f.skip)
			f.skip -= n
			b = b[n:]
			continue
		}
		n := copy(f.header[f.has:], b)
		f.has += n
		b = b[n:]
		if f.has < frameHeader {
			break
		}
		f.has = 0
		f.skip = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
		f.left = min(f.left-f.cost(trusted), maxEarned)
		if f.left < 0 && !f.refill(trusted, written) {
			within = false // the rest has to be followed all the same
		}
	}
	return within
}

// cost is what the frame costs that begins; what it earns is below zero.
func (f *frameBudget) cost(trusted bool) int64 {
	kind, flags := http2.FrameType(f.header[3]), http2.Flags(f.header[4])
	switch {
	case !trusted:
		return 1 + int64(f.skip/guestBytes)
	case kind == http2.FrameHeaders:
		return -callFrames
	case kind == http2.FrameData && f.skip >= smallPiece && !flags.Has(http2.FlagDataPadded):
		return -1
	case kind == http2.FramePing && !flags.Has(http2.FlagPingAck):
		return 0 // gRPC has its own limit
	}
	return 1
}

// refill adds what time, and what the peer was sent, allow. It reports whether
// that is enough.
func (f *frameBudget) refill(trusted bool, written *atomic.Int64) bool {
	now := time.Now()
	f.left += int64(min(now.Sub(f.since), idleFramePeriod) * idleFrames / idleFramePeriod)
	f.since = now
	if sent := written.Swap(0); trusted {
		f.left += sent / bytesPerFrame
	}
	f.left = min(f.left, maxEarned)
	return f.left >= 0
}
