package redisemitter

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"strconv"
)

// maxPickled bounds the values of a pickle. A value takes about 50 bytes of memory and may take a
// single byte of the pickle.
const maxPickled = 100_000

var errPickle = errors.New("emitter: the pickle has something other than plain data, or is malformed")

// pickled is a value of a pickle: nil, bool, int64, *big.Int, float64, string, []byte,
// *sequence or *dictionary. Values may be shared, and may contain themselves.
type pickled any

// sequence is a list or a tuple.
type sequence struct {
	tuple bool
	items []pickled
}

// dictionary is a dict, in its order.
type dictionary struct{ keys, values []pickled }

func (d *dictionary) get(name string) pickled {
	for i, key := range d.keys {
		if key == name {
			return d.values[i]
		}
	}
	return nil
}

// mark is on the stack where a run of items begins.
type mark struct{}

// unpickler reads the part of Python's pickle format (protocols 2 to 5) that plain data needs:
// None, booleans, numbers, strings, bytes, lists, tuples and dictionaries. A pickle is a program
// for a stack machine. The instructions that would import or call something aren't implemented:
// pickles with them are refused.
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

// bytes reads n bytes.
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

// number reads a little-endian number of n bytes, at most 8.
func (u *unpickler) number(n uint64) uint64 {
	var wide [8]byte
	copy(wide[:], u.bytes(n))
	return binary.LittleEndian.Uint64(wide[:])
}

func (u *unpickler) push(v pickled) {
	u.made++
	if u.made > maxPickled {
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

// run removes the last mark and everything above it, and returns the latter.
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

// tuple replaces the last n values by a tuple of them.
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

// step executes an instruction.
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

// scalar pushes a number, a string or bytes.
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

// long decodes an integer of any size, little-endian in two's complement.
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

// fill adds items to a list or a dictionary.
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

// remember stores the last value in the memo, or pushes a stored one.
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

// pickleWriter writes pickled values as JSON.
type pickleWriter struct {
	jsonWriter
	err error
}

func (w *pickleWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// value writes a value at a depth of nesting. Shared values are written again and again, so the
// text is bounded.
func (w *pickleWriter) value(v pickled, depth int) {
	switch {
	case w.err != nil:
		return
	case len(w.out) > maxText:
		w.fail(errTooLarge)
		return
	case depth > maxDepth:
		w.fail(errDepth)
		return
	}
	switch v := v.(type) {
	case nil:
		w.out = append(w.out, "null"...)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case int64:
		w.out = strconv.AppendInt(w.out, v, 10)
	case *big.Int:
		w.out = v.Append(w.out, 10)
	case float64:
		w.float(v)
	case string:
		w.out = appendString(w.out, []byte(v))
	case []byte:
		w.fail(w.attach(v))
	case *sequence:
		w.out = append(w.out, '[')
		w.values(v.items, depth+1)
		w.out = append(w.out, ']')
	case *dictionary:
		w.object(v, depth)
	default:
		w.fail(errPickle)
	}
}

func (w *pickleWriter) values(all []pickled, depth int) {
	for i, v := range all {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.value(v, depth)
		if w.err != nil {
			return
		}
	}
}

func (w *pickleWriter) object(d *dictionary, depth int) {
	w.out = append(w.out, '{')
	for i, key := range d.keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		name, ok := nameOf(key)
		if !ok {
			w.fail(errKey)
		}
		w.out = append(appendString(w.out, []byte(name)), ':')
		w.value(d.values[i], depth+1)
		if w.err != nil {
			return
		}
	}
	w.out = append(w.out, '}')
}

// nameOf returns the text of a name: of a string or an integer.
func nameOf(v pickled) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}
