package load

import (
	"bytes"
	"strconv"
	"time"
)

// payloadSize makes a Socket.IO packet of about 130 bytes.
const payloadSize = 120

// The fields are in the order of the alphabet, in which Go's encoder would put them: each peer sends the same.
const (
	sequenceField = `"s":`
	stampField    = `,"t":`
)

// newPayload returns a message of payloadSize bytes with a sequence number and the time of publishing, which is
// counted from the load generator's start.
func newPayload(sequence uint64, stamp time.Duration) []byte {
	tail := append(make([]byte, 0, 64), `",`+sequenceField...)
	tail = strconv.AppendUint(tail, sequence, 10)
	tail = append(tail, stampField...)
	tail = strconv.AppendInt(tail, int64(stamp), 10)
	tail = append(tail, '}')
	b := append(make([]byte, 0, payloadSize), `{"p":"`...)
	for len(b)+len(tail) < payloadSize {
		b = append(b, 'x')
	}
	return append(b, tail...)
}

// nextDelivery returns the first message in text and what follows it. Text may hold any number of them, in whatever
// envelope.
func nextDelivery(text []byte) (sequence uint64, stamp time.Duration, rest []byte, ok bool) {
	i := bytes.Index(text, []byte(sequenceField))
	if i < 0 {
		return 0, 0, nil, false
	}
	sequence, rest = number(text[i+len(sequenceField):])
	rest, ok = bytes.CutPrefix(rest, []byte(stampField))
	if !ok {
		return 0, 0, nil, false
	}
	at, rest := number(rest)
	return sequence, time.Duration(at), rest, true
}

// number reads the digits at the beginning of b.
func number(b []byte) (n uint64, rest []byte) {
	for i, c := range b {
		if c < '0' || c > '9' {
			return n, b[i:]
		}
		n = n*10 + uint64(c-'0')
	}
	return n, nil
}
