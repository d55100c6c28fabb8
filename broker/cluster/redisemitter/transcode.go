package redisemitter

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// maxText bounds the JSON of a packet, which is longer than its MessagePack
// where strings have characters that must be escaped.
const maxText = 2 * maxBytes

// transcoder turns values from MessagePack into JSON, as Socket.IO servers do
// that decode a packet and encode it again. Numbers keep their value exactly.
type transcoder struct {
	*reader
	out         []byte
	attachments [][]byte
}

// values writes n values with commas between, at a depth of nesting.
func (j *transcoder) values(n, depth int) {
	for i := 0; i < n && j.err == nil; i++ {
		if i > 0 {
			j.out = append(j.out, ',')
		}
		j.value(depth)
	}
}

// value writes one value.
func (j *transcoder) value(depth int) {
	if len(j.out) > maxText {
		j.fail(errTooLarge)
		return
	}
	switch msgp.NextType(j.left) {
	case msgp.StrType:
		j.string()
	case msgp.MapType:
		j.object(depth)
	case msgp.ArrayType:
		j.array(depth)
	case msgp.NilType:
		j.null()
		j.out = append(j.out, "null"...)
	case msgp.BoolType:
		yes, left, err := msgp.ReadBoolBytes(j.left)
		j.take(left, err)
		j.out = strconv.AppendBool(j.out, yes)
	case msgp.BinType:
		j.binary()
	case msgp.TimeType:
		j.time()
	case msgp.ExtensionType, msgp.Complex64Type, msgp.Complex128Type:
		j.fail(errExtension)
	default:
		j.number()
	}
}

func (j *transcoder) number() {
	switch msgp.NextType(j.left) {
	case msgp.IntType:
		n, left, err := msgp.ReadInt64Bytes(j.left)
		j.take(left, err)
		j.out = strconv.AppendInt(j.out, n, 10)
	case msgp.UintType:
		n, left, err := msgp.ReadUint64Bytes(j.left)
		j.take(left, err)
		j.out = strconv.AppendUint(j.out, n, 10)
	case msgp.Float32Type:
		f, left, err := msgp.ReadFloat32Bytes(j.left)
		j.take(left, err)
		j.float(float64(f))
	case msgp.Float64Type:
		f, left, err := msgp.ReadFloat64Bytes(j.left)
		j.take(left, err)
		j.float(f)
	default:
		j.fail(errShape)
	}
}

// float writes the shortest text that reads back as f. What JSON has no number
// for is null, as in JavaScript.
func (j *transcoder) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		j.out = append(j.out, "null"...)
		return
	}
	j.out = strconv.AppendFloat(j.out, f, 'g', -1, 64)
}

func (j *transcoder) string() {
	text, left, err := msgp.ReadStringZC(j.left)
	j.take(left, err)
	j.out = appendString(j.out, valid(text))
}

func (j *transcoder) array(depth int) {
	if depth >= maxDepth {
		j.fail(errDepth)
		return
	}
	n := j.reader.array()
	j.out = append(j.out, '[')
	j.values(n, depth+1)
	j.out = append(j.out, ']')
}

func (j *transcoder) object(depth int) {
	if depth >= maxDepth {
		j.fail(errDepth)
		return
	}
	n, left, err := msgp.ReadMapHeaderBytes(j.left)
	j.take(left, err)
	j.out = append(j.out, '{')
	for i := range j.length(n) {
		if i > 0 {
			j.out = append(j.out, ',')
		}
		if msgp.NextType(j.left) != msgp.StrType {
			j.fail(errKey)
			return
		}
		j.string()
		j.out = append(j.out, ':')
		j.value(depth + 1)
		if j.err != nil {
			return
		}
	}
	j.out = append(j.out, '}')
}

// binary keeps bytes as an attachment and writes its placeholder.
func (j *transcoder) binary() {
	if len(j.attachments) == maxAttachments {
		j.fail(errAttachments)
		return
	}
	data, left, err := msgp.ReadBytesZC(j.left)
	j.take(left, err)
	j.out = fmt.Appendf(j.out, `{"_placeholder":true,"num":%d}`, len(j.attachments))
	j.attachments = append(j.attachments, data)
}

// time writes a Date as JavaScript does. The emitter's encoder drops some
// nanoseconds of it, and so it is rounded to the milliseconds that it had.
func (j *transcoder) time() {
	at, left, err := msgp.ReadTimeUTCBytes(j.left)
	j.take(left, err)
	at = at.Round(time.Millisecond)
	if year := at.Year(); year < 0 || year > 9999 {
		j.fail(errExtension) // JavaScript writes such years otherwise
		return
	}
	j.out = at.AppendFormat(j.out, `"2006-01-02T15:04:05.000Z"`)
}

// valid returns text with every byte that isn't UTF-8 replaced.
func valid(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\ufffd"))
}

// appendString appends a JSON string. It escapes what it must and nothing
// else.
func appendString(out, text []byte) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < 0x20:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
