package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/fnv"
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

// Hash returns a number that two identities hardly ever share.
func (id Identity) Hash() uint64 { return hashIdentity([]byte(id.Node), id.Number) }

func hashIdentity(node []byte, number uint64) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(node) // it never fails
	return h.Sum64() + number*0x9e3779b97f4a7c15
}

// An encoded entry is a byte with the version and what there is, the time in milliseconds, the
// identity, the idempotency key and the attachments if there are any, the event, and the arguments.
// All but the arguments, which come last, have their length before them. So what most readers need
// is found without looking at the rest, and no byte says that something isn't there.
const (
	entryVersion   = 0x20
	hasKey         = 1 << 0
	hasAttachments = 1 << 1

	timeStart = 1
	timeEnd   = timeStart + 6
)

// EncodedSize returns how many bytes the entry takes encoded.
func (e *Entry) EncodedSize() int {
	size := timeEnd + textSize(len(e.ID.Node)) + numberSize(e.ID.Number) + textSize(len(e.Event)) + len(e.Args)
	if e.IdempotencyKey != "" {
		size += textSize(len(e.IdempotencyKey))
	}
	if len(e.Attachments) > 0 {
		size += numberSize(uint64(len(e.Attachments)))
	}
	for _, a := range e.Attachments {
		size += textSize(len(a))
	}
	return size
}

// AppendEncoded appends the entry as engines keep it, and returns the longer slice.
func (e *Entry) AppendEncoded(b []byte) []byte {
	kind := byte(entryVersion)
	if e.IdempotencyKey != "" {
		kind |= hasKey
	}
	if len(e.Attachments) > 0 {
		kind |= hasAttachments
	}
	ms := e.Time.UnixMilli()
	b = binary.BigEndian.AppendUint16(append(b, kind), uint16(ms>>32)) //nolint:gosec // 48 bits are enough
	b = binary.BigEndian.AppendUint32(b, uint32(ms))                   //nolint:gosec // see above
	b = appendText(b, e.ID.Node)
	b = binary.AppendUvarint(b, e.ID.Number)
	if e.IdempotencyKey != "" {
		b = appendText(b, e.IdempotencyKey)
	}
	if len(e.Attachments) > 0 {
		b = binary.AppendUvarint(b, uint64(len(e.Attachments)))
	}
	for _, a := range e.Attachments {
		b = appendText(b, a)
	}
	b = appendText(b, e.Event)
	return append(b, e.Args...)
}

// Encode returns the entry as engines keep it.
func (e *Entry) Encode() []byte { return e.AppendEncoded(make([]byte, 0, e.EncodedSize())) }

// numberSize returns how many bytes a number takes.
func numberSize(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// textSize returns how many bytes a text or data of n bytes takes.
func textSize(n int) int { return numberSize(uint64(n)) + n } //nolint:gosec // a length isn't negative

func appendText[T string | []byte](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// timeOf returns the time of an encoded entry, in milliseconds.
func timeOf(b []byte) int64 {
	ms := uint64(binary.BigEndian.Uint16(b[timeStart:]))<<32 | uint64(binary.BigEndian.Uint32(b[timeStart+2:]))
	return int64(ms<<16) >> 16 //nolint:gosec // times before 1970 are negative
}

// Recorded is an entry with its place in the history of a room. It is encoded, and what its methods
// return shares its memory, so the caller must not change that. Its methods may be called
// concurrently.
type Recorded struct {
	// Offset is the entry's own offset.
	Offset  uint64
	encoded []byte // well-formed
}

var errMalformed = errors.New("history: an entry is malformed")

// Parse returns an encoded entry at a place, and keeps the slice. It returns an error if no entry
// encodes to that.
func Parse(offset uint64, encoded []byte) (Recorded, error) {
	r := reader{rest: encoded}
	if len(encoded) < timeEnd || encoded[0]&^(hasKey|hasAttachments) != entryVersion {
		return Recorded{}, errMalformed
	}
	r.identity()
	if encoded[0]&hasKey != 0 && len(r.data()) == 0 {
		return Recorded{}, errMalformed
	}
	if encoded[0]&hasAttachments != 0 {
		count := r.number()
		if count == 0 || count > uint64(len(r.rest)) {
			return Recorded{}, errMalformed
		}
		for range count {
			r.data()
		}
	}
	r.data()
	if r.failed {
		return Recorded{}, errMalformed
	}
	return Recorded{offset, encoded}, nil
}

// Size returns how many bytes the entry takes encoded.
func (e *Recorded) Size() int { return len(e.encoded) }

// Time returns the entry's time.
func (e *Recorded) Time() time.Time { return time.UnixMilli(timeOf(e.encoded)) }

// Is reports whether the entry is the message with an identity.
func (e *Recorded) Is(id Identity) bool {
	r := reader{rest: e.encoded}
	node, number := r.identity()
	return number == id.Number && string(node) == id.Node
}

// Hash returns the hash of the message's identity.
func (e *Recorded) Hash() uint64 {
	r := reader{rest: e.encoded}
	return hashIdentity(r.identity())
}

// Message returns the name of the event, and the arguments as in [Entry].
func (e *Recorded) Message() (event, args []byte) {
	r := reader{rest: e.encoded}
	r.identity()
	if e.encoded[0]&hasKey != 0 {
		r.data()
	}
	if e.encoded[0]&hasAttachments != 0 {
		for range r.number() {
			r.data()
		}
	}
	return r.data(), r.rest
}

// Attachments returns the attachments; nil for none.
func (e *Recorded) Attachments() [][]byte {
	if e.encoded[0]&hasAttachments == 0 {
		return nil
	}
	r := reader{rest: e.encoded}
	r.identity()
	if e.encoded[0]&hasKey != 0 {
		r.data()
	}
	attachments := make([][]byte, r.number())
	for i := range attachments {
		attachments[i] = r.data()
	}
	return attachments
}

// Entry returns the entry decoded.
func (e *Recorded) Entry() Entry {
	event, args := e.Message()
	d := Entry{Event: string(event), Attachments: e.Attachments(), Time: e.Time()}
	if len(args) > 0 {
		d.Args = args
	}
	r := reader{rest: e.encoded}
	node, number := r.identity()
	d.ID = Identity{string(node), number}
	if e.encoded[0]&hasKey != 0 {
		d.IdempotencyKey = string(r.data())
	}
	return d
}

// reader reads the parts of an encoded entry in order.
type reader struct {
	rest   []byte
	failed bool
}

// identity reads what every entry begins with.
func (r *reader) identity() (node []byte, number uint64) {
	r.rest = r.rest[timeEnd:]
	node = r.data()
	return node, r.number()
}

func (r *reader) number() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		n := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(n)
	}
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) data() []byte {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	if n == 0 {
		return nil
	}
	data := r.rest[:n:n]
	r.rest = r.rest[n:]
	return data
}
