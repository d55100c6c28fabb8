package load

import (
	"bytes"
	"strconv"
	"time"
)

// payloadSize makes a Socket.IO packet of about 130 bytes.
const payloadSize = 120

// The fields are in alphabetical order, as Go's encoder writes them, so that all servers send the
// same bytes.
const (
	numberField = `"s":`
	stampField  = `,"t":`
)

// NewPayload returns a JSON object of payloadSize bytes with a number and the time of publishing,
// which counts from the load generator's start.
func NewPayload(number uint64, stamp time.Duration) []byte {
	tail := append(make([]byte, 0, 64), `",`+numberField...)
	tail = strconv.AppendUint(tail, number, 10)
	tail = append(tail, stampField...)
	tail = strconv.AppendInt(tail, int64(stamp), 10)
	tail = append(tail, '}')
	b := append(make([]byte, 0, payloadSize), `{"p":"`...)
	for len(b)+len(tail) < payloadSize {
		b = append(b, 'x')
	}
	return append(b, tail...)
}

// NextPayload returns the number and the stamp of the first payload in text, and the text after it.
// The text may hold any number of payloads in any envelope.
func NextPayload(text []byte) (number uint64, stamp time.Duration, rest []byte, ok bool) {
	i := bytes.Index(text, []byte(numberField))
	if i < 0 {
		return 0, 0, nil, false
	}
	number, rest = ParseNumber(text[i+len(numberField):])
	rest, ok = bytes.CutPrefix(rest, []byte(stampField))
	if !ok {
		return 0, 0, nil, false
	}
	at, rest := ParseNumber(rest)
	return number, time.Duration(at), rest, true
}

// ParseNumber returns the number that the leading digits of b form, and the rest of b.
func ParseNumber(b []byte) (n uint64, rest []byte) {
	for i, c := range b {
		if c < '0' || c > '9' {
			return n, b[i:]
		}
		n = n*10 + uint64(c-'0')
	}
	return n, nil
}
