package redisemitter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
)

// maxPickled bounds the values of a pickle, each of which takes some 50 bytes of
// memory and may take one byte of the pickle.
const maxPickled = 100_000

var errPickle = errors.New("emitter: the pickle holds what isn't plain data, or is broken")

// pickled is a value of a pickle: nil, bool, int64, *big.Int, float64, string, []byte,
// *sequence or *dictionary. Values may be shared, and hold themselves.
type pickled any

type sequence struct {
	tuple bool
	items []pickled
}

type dictionary struct{ keys, values []pickled }

func (d *dictionary) get(name string) pickled {
	for i, key := range d.keys {
		if key == name {
			return d.values[i]
		}
	}
	return nil
}

// mark stands on the stack where a run of items begins.
type mark struct{}

// unpickler reads the part of Python's pickle format (protocols 2 to 5) that plain data
// needs: None, booleans, numbers, texts, bytes, lists, tuples and dictionaries. The
// format is a program for a stack machine. The instructions that would import or call
// something are not there: a pickle that has them is refused.
type unpickler struct {
	left  []byte
	stack []pickled
	memo  map[uint64]pickled
	made  int
	err   error
}

// unpickle returns the value of a pickle.
func unpickle(payload []byte) (pickled, error) {
	u := &unpickler{left: payload, memo: make(map[uint64]pickled)}
	for u.err == nil {
		op := u.byte()
		if op == '.' && u.err == nil { // STOP
			if len(u.stack) == 1 && len(u.left) == 0 {
				return u.stack[0], nil
			}
			break
		}
		u.step(op)
	}
	return nil, errors.Join(u.err, errPickle)
}

func (u *unpickler) fail() { u.err = errPickle }

// bytes takes n bytes.
func (u *unpickler) bytes(n uint64) []byte {
	if u.err != nil || n > uint64(len(u.left)) {
		u.fail()
		return nil
	}
	taken := u.left[:n]
	u.left = u.left[n:]
	return taken
}

func (u *unpickler) byte() byte {
	if b := u.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// number takes a little-endian number of n bytes, at most 8.
func (u *unpickler) number(n uint64) uint64 {
	var wide [8]byte
	copy(wide[:], u.bytes(n))
	return binary.LittleEndian.Uint64(wide[:])
}

func (u *unpickler) push(v pickled) {
	if u.made++; u.made > maxPickled {
		u.fail()
		return
	}
	u.stack = append(u.stack, v)
}

func (u *unpickler) pop() pickled {
	if len(u.stack) == 0 {
		u.fail()
		return nil
	}
	last := u.stack[len(u.stack)-1]
	u.stack = u.stack[:len(u.stack)-1]
	if _, ok := last.(mark); ok {
		u.fail()
	}
	return last
}

// run takes what is above the last mark, and the mark.
func (u *unpickler) run() []pickled {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(mark); ok {
			items := append([]pickled(nil), u.stack[i+1:]...)
			u.stack = u.stack[:i]
			return items
		}
	}
	u.fail()
	return nil
}

func (u *unpickler) top() pickled {
	if len(u.stack) == 0 {
		u.fail()
		return nil
	}
	return u.stack[len(u.stack)-1]
}

// tuple makes one of the last n values.
func (u *unpickler) tuple(n int) {
	if n > len(u.stack) {
		u.fail()
		return
	}
	items := make([]pickled, n)
	for i := range items {
		items[n-1-i] = u.pop()
	}
	u.push(&sequence{tuple: true, items: items})
}

// step carries out an instruction.
func (u *unpickler) step(op byte) {
	switch op {
	case 0x80: // PROTO
		u.byte()
	case 0x95: // FRAME
		u.bytes(8)
	case 'N':
		u.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		u.push(op == 0x88)
	case '(':
		u.push(mark{})
	case ']':
		u.push(&sequence{})
	case '}':
		u.push(&dictionary{})
	case ')':
		u.tuple(0)
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		u.tuple(int(op) - 0x84)
	case 't':
		u.push(&sequence{tuple: true, items: u.run()})
	case 'a', 'e', 's', 'u':
		u.fill(op)
	case 0x94, 'q', 'r', 'h', 'j':
		u.remember(op)
	default:
		u.scalar(op)
	}
}

// scalar pushes a number, a text or bytes.
func (u *unpickler) scalar(op byte) {
	switch op {
	case 'J': // BININT
		u.push(int64(int32(u.number(4)))) //nolint:gosec // four bytes with a sign
	case 'K', 'M': // BININT1, BININT2
		size := map[byte]uint64{'K': 1, 'M': 2}[op]
		u.push(int64(u.number(size))) //nolint:gosec // at most two bytes
	case 0x8a: // LONG1
		u.push(u.long(u.bytes(u.number(1))))
	case 'G': // BINFLOAT
		if raw := u.bytes(8); raw != nil {
			u.push(math.Float64frombits(binary.BigEndian.Uint64(raw)))
		}
	case 0x8c, 'X', 0x8d: // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
		size := map[byte]uint64{0x8c: 1, 'X': 4, 0x8d: 8}[op]
		u.push(string(valid(u.bytes(u.number(size)))))
	case 'C', 'B', 0x8e, 0x96: // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
		size := map[byte]uint64{'C': 1, 'B': 4, 0x8e: 8, 0x96: 8}[op]
		u.push(u.bytes(u.number(size)))
	default:
		u.fail()
	}
}

// long returns a number of any size, little-endian in two's complement.
func (u *unpickler) long(raw []byte) pickled {
	wide := make([]byte, len(raw))
	for i, b := range raw {
		wide[len(raw)-1-i] = b
	}
	n := new(big.Int).SetBytes(wide)
	if len(wide) > 0 && wide[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(wide))))
	}
	return n
}

// fill puts items into a list or a dictionary.
func (u *unpickler) fill(op byte) {
	var items []pickled
	switch op {
	case 'a': // APPEND
		items = []pickled{u.pop()}
	case 's': // SETITEM
		value := u.pop()
		items = []pickled{u.pop(), value}
	default: // APPENDS, SETITEMS
		items = u.run()
	}
	switch into := u.top().(type) {
	case *sequence:
		if into.tuple || op == 's' || op == 'u' {
			u.fail()
			return
		}
		into.items = append(into.items, items...)
	case *dictionary:
		if len(items)%2 != 0 || op == 'a' || op == 'e' {
			u.fail()
			return
		}
		for i := 0; i < len(items); i += 2 {
			into.keys, into.values = append(into.keys, items[i]), append(into.values, items[i+1])
		}
	default:
		u.fail()
	}
}

// remember stores the last value, or takes a stored one.
func (u *unpickler) remember(op byte) {
	switch op {
	case 0x94: // MEMOIZE
		u.memo[uint64(len(u.memo))] = u.top()
	case 'q': // BINPUT
		u.memo[u.number(1)] = u.top()
	case 'r': // LONG_BINPUT
		u.memo[u.number(4)] = u.top()
	default: // BINGET, LONG_BINGET
		size := map[byte]uint64{'h': 1, 'j': 4}[op]
		v, ok := u.memo[u.number(size)]
		if _, isMark := v.(mark); !ok || isMark {
			u.fail()
			return
		}
		u.push(v)
	}
}

// jsonWriter writes pickled values as JSON, binary ones as placeholders.
type jsonWriter struct {
	out         []byte
	attachments [][]byte
	err         error
}

func (j *jsonWriter) fail(err error) {
	if j.err == nil {
		j.err = err
	}
}

// value writes a value at a depth of nesting. What is shared is written as often as it
// is there, so the text is bounded rather than the values.
func (j *jsonWriter) value(v pickled, depth int) {
	switch {
	case j.err != nil:
		return
	case len(j.out) > maxText:
		j.fail(errTooLarge)
		return
	case depth > maxDepth:
		j.fail(errDepth)
		return
	}
	switch v := v.(type) {
	case nil:
		j.out = append(j.out, "null"...)
	case bool:
		j.out = strconv.AppendBool(j.out, v)
	case int64:
		j.out = strconv.AppendInt(j.out, v, 10)
	case *big.Int:
		j.out = v.Append(j.out, 10)
	case float64:
		t := &transcoder{out: j.out}
		t.float(v)
		j.out = t.out
	case string:
		j.out = appendString(j.out, []byte(v))
	case []byte:
		j.binary(v)
	case *sequence:
		j.out = append(j.out, '[')
		j.values(v.items, depth+1)
		j.out = append(j.out, ']')
	case *dictionary:
		j.object(v, depth)
	default:
		j.fail(errPickle)
	}
}

func (j *jsonWriter) values(all []pickled, depth int) {
	for i, v := range all {
		if i > 0 {
			j.out = append(j.out, ',')
		}
		if j.value(v, depth); j.err != nil {
			return
		}
	}
}

func (j *jsonWriter) object(d *dictionary, depth int) {
	j.out = append(j.out, '{')
	for i, key := range d.keys {
		if i > 0 {
			j.out = append(j.out, ',')
		}
		name, ok := nameOf(key)
		if !ok {
			j.fail(errKey)
		}
		j.out = append(appendString(j.out, []byte(name)), ':')
		if j.value(d.values[i], depth+1); j.err != nil {
			return
		}
	}
	j.out = append(j.out, '}')
}

func (j *jsonWriter) binary(data []byte) {
	if len(j.attachments) == maxAttachments {
		j.fail(errAttachments)
		return
	}
	j.out = fmt.Appendf(j.out, `{"_placeholder":true,"num":%d}`, len(j.attachments))
	j.attachments = append(j.attachments, data)
}

// nameOf returns what counts as a name: a text, or a whole number as its text.
func nameOf(v pickled) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}
