package redisemitter

import (
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// transcoder turns MessagePack into JSON, with the result of a Socket.IO server that decodes a
// packet and encodes it again. Numbers keep their exact values.
type transcoder struct {
	*reader
	jsonWriter
}

// values writes n values, separated by commas, at a depth of nesting.
func (t *transcoder) values(n, depth int) {
	for i := 0; i < n && t.err == nil; i++ {
		if i > 0 {
			t.out = append(t.out, ',')
		}
		t.value(depth)
	}
}

// value writes one value.
func (t *transcoder) value(depth int) {
	if len(t.out) > maxText {
		t.fail(errTooLarge)
		return
	}
	switch msgp.NextType(t.left) {
	case msgp.StrType:
		t.string()
	case msgp.MapType:
		t.object(depth)
	case msgp.ArrayType:
		t.array(depth)
	case msgp.NilType:
		t.null()
		t.out = append(t.out, "null"...)
	case msgp.BoolType:
		yes, left, err := msgp.ReadBoolBytes(t.left)
		t.take(left, err)
		t.out = strconv.AppendBool(t.out, yes)
	case msgp.BinType:
		t.binary()
	case msgp.TimeType:
		t.time()
	case msgp.ExtensionType, msgp.Complex64Type, msgp.Complex128Type:
		t.fail(errExtension)
	default:
		t.number()
	}
}

func (t *transcoder) number() {
	switch msgp.NextType(t.left) {
	case msgp.IntType:
		n, left, err := msgp.ReadInt64Bytes(t.left)
		t.take(left, err)
		t.out = strconv.AppendInt(t.out, n, 10)
	case msgp.UintType:
		n, left, err := msgp.ReadUint64Bytes(t.left)
		t.take(left, err)
		t.out = strconv.AppendUint(t.out, n, 10)
	case msgp.Float32Type:
		f, left, err := msgp.ReadFloat32Bytes(t.left)
		t.take(left, err)
		t.float(float64(f))
	case msgp.Float64Type:
		f, left, err := msgp.ReadFloat64Bytes(t.left)
		t.take(left, err)
		t.float(f)
	default:
		t.fail(errShape)
	}
}

// string writes a string.
func (t *transcoder) string() {
	text, left, err := msgp.ReadStringZC(t.left)
	t.take(left, err)
	t.out = appendString(t.out, valid(text))
}

func (t *transcoder) array(depth int) {
	if depth >= maxDepth {
		t.fail(errDepth)
		return
	}
	n := t.reader.array()
	t.out = append(t.out, '[')
	t.values(n, depth+1)
	t.out = append(t.out, ']')
}

func (t *transcoder) object(depth int) {
	if depth >= maxDepth {
		t.fail(errDepth)
		return
	}
	n, left, err := msgp.ReadMapHeaderBytes(t.left)
	t.take(left, err)
	t.out = append(t.out, '{')
	for i := range t.length(n) {
		if i > 0 {
			t.out = append(t.out, ',')
		}
		if msgp.NextType(t.left) != msgp.StrType {
			t.fail(errKey)
			return
		}
		t.string()
		t.out = append(t.out, ':')
		t.value(depth + 1)
		if t.err != nil {
			return
		}
	}
	t.out = append(t.out, '}')
}

// binary writes binary data.
func (t *transcoder) binary() {
	data, left, err := msgp.ReadBytesZC(t.left)
	t.take(left, err)
	t.fail(t.attach(data))
}

// time writes a Date as JavaScript does. The emitter's encoder loses some nanoseconds of it, so it
// is rounded to the milliseconds that it had.
func (t *transcoder) time() {
	at, left, err := msgp.ReadTimeUTCBytes(t.left)
	t.take(left, err)
	at = at.Round(time.Millisecond)
	if year := at.Year(); year < 0 || year > 9999 {
		t.fail(errExtension) // JavaScript writes such years differently
		return
	}
	t.out = at.AppendFormat(t.out, `"2006-01-02T15:04:05.000Z"`)
}
