package cluster

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
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
	macs     *sync.Pool // of hash.Hash; nil without a key
}

func newSealer(key []byte, maxBytes int) *sealer {
	s := &sealer{maxBytes: maxBytes}
	if len(key) > 0 {
		s.macs = &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
	}
	return s
}

// seal returns the frame of e for a channel. Its errors are [ErrTooLarge] and
// those of text that isn't UTF-8.
func (s *sealer) seal(channel string, e *wire.Envelope) ([]byte, error) {
	start := headerBytes
	if s.macs != nil {
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
	if s.macs != nil {
		frame[1] = flagMAC
		s.mac(frame[headerBytes:headerBytes], channel, frame[start:])
	}
	return frame, nil
}

// open returns the envelope of a frame that came by a channel, or why there
// is none.
func (s *sealer) open(channel string, frame []byte) (*wire.Envelope, LossReason) {
	if len(frame) < headerBytes {
		return nil, LostMalformed
	}
	if frame[0] != frameVersion {
		return nil, LostVersion
	}
	body := frame[headerBytes:]
	if frame[1]&flagMAC != 0 {
		if len(body) < sha256.Size {
			return nil, LostMalformed
		}
		body = body[sha256.Size:]
	}
	if len(body) > s.maxBytes {
		return nil, LostTooLarge
	}
	if s.macs != nil {
		var want [sha256.Size]byte
		if frame[1]&flagMAC == 0 ||
			!hmac.Equal(s.mac(want[:0], channel, body), frame[headerBytes:headerBytes+sha256.Size]) {
			return nil, LostBadMAC
		}
	}
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
func (s *sealer) mac(dst []byte, channel string, body []byte) []byte {
	h := s.macs.Get().(hash.Hash)
	defer s.macs.Put(h)
	h.Reset()
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(channel))) //nolint:gosec // a channel's name has some hundred bytes
	h.Write([]byte(macContext))
	h.Write(length[:])
	h.Write([]byte(channel))
	h.Write(body)
	return h.Sum(dst)
}
