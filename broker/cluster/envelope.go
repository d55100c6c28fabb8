package cluster

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// The frame around an envelope: a version, flags and, if flagMAC is set, the
// authentication code. What a later version puts behind its first byte is its own.
const (
	frameVersion = 1
	flagMAC      = 1
	headerBytes  = 2
)

// macContext keeps codes made for this purpose apart from any others that are
// made with the same key.
const macContext = "sala cluster envelope 1"

// sealer turns envelopes into frames and back. Its methods may be called
// concurrently.
type sealer struct {
	maxBytes int
	macs     []*sync.Pool // of hash.Hash, one for each key: the first seals, all open
}

func newSealer(keys [][]byte, maxBytes int) *sealer {
	s := &sealer{maxBytes: maxBytes}
	for _, key := range keys {
		s.macs = append(s.macs, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	}
	return s
}

// keyed reports whether there is a key, without which nothing is proven.
func (s *sealer) keyed() bool { return len(s.macs) > 0 }

// seal returns the frame of e for a channel. Its errors are [ErrTooLarge] and
// those of text that isn't UTF-8.
func (s *sealer) seal(channel string, e *wire.Envelope) ([]byte, error) {
	start := headerBytes
	if s.keyed() {
		start += sha256.Size
	}
	size := proto.Size(e)
	if size > s.maxBytes {
		return nil, ErrTooLarge
	}
	frame := make([]byte, start, start+size)
	frame[0] = frameVersion
	frame, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(frame, e)
	if err != nil {
		return nil, err
	}
	if s.keyed() {
		frame[1] = flagMAC
		mac(s.macs[0], frame[headerBytes:headerBytes], channel, frame[start:])
	}
	return frame, nil
}

// open returns the envelope of a frame that came by a channel, or why there
// is none.
func (s *sealer) open(channel string, frame []byte) (*wire.Envelope, LossReason) {
	e, _, reason := s.openWith(channel, frame)
	return e, reason
}

// openWith is open, and says by which key the frame is sealed; 0 is the one that
// seals, or none.
func (s *sealer) openWith(channel string, frame []byte) (e *wire.Envelope, key int, reason LossReason) {
	if len(frame) < headerBytes {
		return nil, 0, LostMalformed
	}
	if frame[0] != frameVersion {
		return nil, 0, LostVersion
	}
	code, body := []byte(nil), frame[headerBytes:]
	if frame[1]&flagMAC != 0 {
		if len(body) < sha256.Size {
			return nil, 0, LostMalformed
		}
		code, body = body[:sha256.Size], body[sha256.Size:]
	}
	if len(body) > s.maxBytes {
		return nil, 0, LostTooLarge
	}
	if s.keyed() {
		if key = s.keyOf(channel, code, body); key < 0 {
			return nil, 0, LostBadMAC
		}
	}
	e, reason = decode(body)
	return e, key, reason
}

// keyOf returns by which key the code was made, -1 for none.
func (s *sealer) keyOf(channel string, code, body []byte) int {
	return slices.IndexFunc(s.macs, func(macs *sync.Pool) bool {
		var want [sha256.Size]byte
		return hmac.Equal(mac(macs, want[:0], channel, body), code)
	})
}

// decode reads what is in a frame.
func decode(body []byte) (*wire.Envelope, LossReason) {
	e := new(wire.Envelope)
	if err := proto.Unmarshal(body, e); err != nil {
		return nil, LostMalformed
	}
	if len(e.GetSender()) != NodeIDBytes || e.GetBody() == nil {
		return nil, LostMalformed
	}
	return e, ""
}

// mac appends to dst the code over what is sent and where.
func mac(macs *sync.Pool, dst []byte, channel string, body []byte) []byte {
	h := macs.Get().(hash.Hash)
	defer macs.Put(h)
	h.Reset()
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(channel))) //nolint:gosec // a channel's name has some hundred bytes
	h.Write([]byte(macContext))
	h.Write(length[:])
	h.Write([]byte(channel))
	h.Write(body)
	return h.Sum(dst)
}
