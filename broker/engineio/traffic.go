package engineio

import "sync/atomic"

// Traffic counts the messages that connections carry while somebody looks. Its methods may be
// called concurrently. A server without one counts nothing.
type Traffic struct {
	polling  atomic.Int64
	counting atomic.Bool

	packetsIn, packetsOut atomic.Uint64
	bytesIn, bytesOut     atomic.Uint64
}

// TrafficCounts are counts since the server has started. Messages that came or went while nobody
// looked are missing.
type TrafficCounts struct {
	PacketsIn, PacketsOut uint64
	// BytesOut counts the frames of WebSocket, also for messages over long-polling.
	BytesIn, BytesOut uint64
}

// Count starts or stops counting messages.
func (t *Traffic) Count(on bool) { t.counting.Store(on) }

// Polling returns how many open connections use long-polling. It is always known.
func (t *Traffic) Polling() int { return int(t.polling.Load()) }

// Counts returns what has been counted.
func (t *Traffic) Counts() TrafficCounts {
	return TrafficCounts{
		PacketsIn: t.packetsIn.Load(), PacketsOut: t.packetsOut.Load(),
		BytesIn: t.bytesIn.Load(), BytesOut: t.bytesOut.Load(),
	}
}

// received counts a message of a client.
func (t *Traffic) received(bytes int) {
	if t != nil && t.counting.Load() {
		count(&t.packetsIn, &t.bytesIn, bytes)
	}
}

// sent counts a frame that has been queued.
func (t *Traffic) sent(f *Frame) {
	if t != nil && t.counting.Load() && !f.control {
		count(&t.packetsOut, &t.bytesOut, len(f.wire))
	}
}

// count is apart from its callers so that these are inlined.
func count(packets, bytes *atomic.Uint64, n int) {
	packets.Add(1)
	bytes.Add(uint64(n)) //nolint:gosec // a length
}

// polls counts connections that begin or cease to use long-polling.
func (t *Traffic) polls(n int64) {
	if t != nil {
		t.polling.Add(n)
	}
}
