package cluster

import (
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// A frame is a version byte, a flags byte, a MAC if flagMAC is set, and an envelope. Later versions
// are free to change everything after the first byte.
const (
	frameVersion = 2
	flagMAC      = 1
	headerBytes  = 2
)

// macContext separates these MACs from others that are made with the same key.
const macContext = "sala cluster envelope 1"

// sealer turns envelopes into frames and back. Its methods may be called concurrently.
type sealer struct {
	maxBytes int
	signer   *Signer
}

func newSealer(keys [][]byte, maxBytes int) *sealer {
	return &sealer{maxBytes: maxBytes, signer: NewSigner(macContext, keys)}
}

// keyed reports whether there is a key. Without one, no frame is authenticated.
func (s *sealer) keyed() bool { return s.signer.Keyed() }

// seal returns the frame of e for a channel. Its error is [ErrTooLarge], or says that a string
// isn't UTF-8.
func (s *sealer) seal(channel string, e *wire.Envelope) ([]byte, error) {
	start := headerBytes
	if s.keyed() {
		start += MACBytes
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
		s.signer.Sign(frame[headerBytes:headerBytes], channel, frame[start:])
	}
	return frame, nil
}

// open returns the envelope in a frame that came over a channel, or why the frame is refused.
func (s *sealer) open(channel string, frame []byte) (*wire.Envelope, LossReason) {
	e, _, reason := s.openWith(channel, frame)
	return e, reason
}

// openWith is open that also returns the index of the key that the frame is sealed with.
func (s *sealer) openWith(channel string, frame []byte) (e *wire.Envelope, key int, reason LossReason) {
	if len(frame) < headerBytes {
		return nil, 0, LostMalformed
	}
	if frame[0] != frameVersion {
		return nil, 0, LostVersion
	}
	code, body := []byte(nil), frame[headerBytes:]
	if frame[1]&flagMAC != 0 {
		if len(body) < MACBytes {
			return nil, 0, LostMalformed
		}
		code, body = body[:MACBytes], body[MACBytes:]
	}
	if len(body) > s.maxBytes {
		return nil, 0, LostTooLarge
	}
	if s.keyed() {
		if key = s.signer.Verify(channel, code, body); key < 0 {
			return nil, 0, LostBadMAC
		}
	}
	e, reason = decode(body)
	return e, key, reason
}

// decode returns the envelope in the body of a frame.
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
