package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
	"time"
)

// Entry is a message that is recorded.
type Entry struct {
	// Event is the name of the message's event.
	Event string
	// Args is the text of a JSON array; empty means no arguments.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// ID tells the message from all others of the cluster.
	ID Identity
	// Time is when the message was sent, by its node's clock, in milliseconds.
	Time time.Time
	// IdempotencyKey is what the sender calls the message; empty if it has no name for it.
	IdempotencyKey string
}

// Identity tells a message from all others of a cluster.
type Identity struct {
	// Node is the id of the node that it was sent at.
	Node string
	// Number counts the node's messages from 1.
	Number uint64
}

// An encoded entry is a version byte, the time in milliseconds, the identity, the names, the
// arguments and the attachments. Texts and data have their length before them.
const (
	entryVersion = 1
	timeStart    = 1
	timeEnd      = timeStart + 8
)

var errMalformed = errors.New("history: an entry is malformed")

// Encode returns the entry as engines keep it.
func (e *Entry) Encode() []byte {
	size := timeEnd + textSize(len(e.ID.Node)) + numberSize(e.ID.Number) + textSize(len(e.Event)) +
		textSize(len(e.IdempotencyKey)) + textSize(len(e.Args)) + numberSize(uint64(len(e.Attachments)))
	for _, a := range e.Attachments {
		size += textSize(len(a))
	}
	b := make([]byte, 1, size)
	b[0] = entryVersion
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixMilli()))
	b = appendText(b, e.ID.Node)
	b = binary.AppendUvarint(b, e.ID.Number)
	b = appendText(b, e.Event)
	b = appendText(b, e.IdempotencyKey)
	b = appendText(b, e.Args)
	b = binary.AppendUvarint(b, uint64(len(e.Attachments)))
	for _, a := range e.Attachments {
		b = appendText(b, a)
	}
	return b
}

// numberSize returns how many bytes a number takes.
func numberSize(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// textSize returns how many bytes a text or data of n bytes takes.
func textSize(n int) int { return numberSize(uint64(n)) + n } //nolint:gosec // a length isn't negative

func appendText[T string | json.RawMessage | []byte](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// Decoder decodes entries that follow each other in a room. Names that repeat share memory. The
// zero Decoder is ready to use, by one goroutine.
type Decoder struct {
	event, node string
	rest        []byte
	failed      bool
}

// Decode returns the entry that b encodes, which shares b's memory. It returns an error if nothing
// encodes to b.
func (d *Decoder) Decode(b []byte) (Entry, error) {
	if len(b) < timeEnd || b[0] != entryVersion {
		return Entry{}, errMalformed
	}
	d.rest, d.failed = b[timeEnd:], false
	e := Entry{Time: time.UnixMilli(timeOf(b))}
	d.node = reuse(d.node, d.data())
	e.ID = Identity{Node: d.node, Number: d.number()}
	d.event = reuse(d.event, d.data())
	e.Event = d.event
	e.IdempotencyKey = string(d.data())
	e.Args = d.data()
	count := d.number()
	if d.failed || count > uint64(len(d.rest)) {
		return Entry{}, errMalformed
	}
	if count > 0 {
		e.Attachments = make([][]byte, count)
		for i := range e.Attachments {
			e.Attachments[i] = d.data()
		}
	}
	if d.failed || len(d.rest) > 0 {
		return Entry{}, errMalformed
	}
	return e, nil
}

// timeOf returns the time of an encoded entry, in milliseconds.
func timeOf(b []byte) int64 {
	return int64(binary.BigEndian.Uint64(b[timeStart:timeEnd])) //nolint:gosec // decoded as it is encoded
}

// reuse returns b as a string, which is previous if that is the same.
func reuse(previous string, b []byte) string {
	if previous == string(b) {
		return previous
	}
	return string(b)
}

func (d *Decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.failed, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *Decoder) data() []byte {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.failed, d.rest = true, nil
		return nil
	}
	if n == 0 {
		return nil
	}
	data := d.rest[:n:n]
	d.rest = d.rest[n:]
	return data
}
