package redisemitter

import (
	"errors"

	"github.com/tinylib/msgp/msgp"

	"github.com/salabroker/sala/broker/rawjson"
)

// Limits of messages. They are the same as for messages from other sources.
const (
	maxBytes       = 8 << 20
	maxDepth       = 500 // stock clients read attachments recursively
	maxAttachments = 64
	maxNames       = 1000
	maxNameBytes   = 255
)

var (
	errTooLarge    = errors.New("emitter: the message is too large")
	errChannel     = errors.New("emitter: the message isn't for the namespace of its channel")
	errEvent       = errors.New("emitter: an event needs a name, as the first element of its data")
	errShape       = errors.New("emitter: the packet isn't [sender, packet, options] in MessagePack")
	errType        = errors.New("emitter: the packet isn't an event")
	errNames       = errors.New("emitter: the message names too many rooms, or one whose name is too long")
	errDepth       = errors.New("emitter: the arguments are nested too deeply")
	errAttachments = errors.New("emitter: the message has too many binary arguments")
	errKey         = errors.New("emitter: an object in the arguments has a key that isn't a string")
	errExtension   = errors.New("emitter: an argument has a type that JSON doesn't have")
)

// The types of packets with events.
const (
	packetEvent       = 2
	packetBinaryEvent = 5
)

// decodePacket decodes [sender, packet, options] in MessagePack.
func decodePacket(payload []byte) (*Command, error) {
	r := &reader{left: payload}
	if n := r.array(); n != 3 || r.err != nil {
		return nil, errShape
	}
	r.skip() // the sender
	c := &Command{Kind: KindEmit, Namespace: "/"}
	kind, event := int64(-1), false
	r.object(func(key string) {
		switch key {
		case "type":
			kind = r.integer()
		case "nsp":
			c.Namespace = r.text()
		case "data":
			event = true
			r.event(c)
		default:
			r.skip()
		}
	})
	r.object(func(key string) {
		switch key {
		case "rooms":
			c.Rooms = r.texts()
		case "except":
			c.Except = r.texts()
		case "flags":
			r.flags(c)
		default:
			r.skip()
		}
	})
	switch {
	case r.err != nil:
		return nil, r.err
	case len(r.left) > 0:
		return nil, errShape
	case kind != packetEvent && kind != packetBinaryEvent:
		return nil, errType
	case !event || c.Event == "":
		return nil, errEvent
	}
	if err := checkNames(c.Rooms, c.Except); err != nil {
		return nil, err
	}
	return c, nil
}

// checkNames returns an error if there are too many names, or too long ones.
func checkNames(lists ...[]string) error {
	for _, names := range lists {
		if len(names) > maxNames {
			return errNames
		}
		for _, name := range names {
			if len(name) > maxNameBytes {
				return errNames
			}
		}
	}
	return nil
}

// reader reads MessagePack. After the first error, which it keeps in err, it reads nothing.
type reader struct {
	left []byte
	err  error
}

// fail keeps the first error.
func (r *reader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

// take continues with what is left after a value was read. An error of the library means a wrong
// shape.
func (r *reader) take(left []byte, err error) {
	if err != nil {
		r.fail(errShape)
		return
	}
	r.left = left
}

func (r *reader) skip() {
	if r.err == nil {
		r.take(msgp.Skip(r.left))
	}
}

// null reads a nil if there is one.
func (r *reader) null() bool {
	if r.err != nil || !msgp.IsNil(r.left) {
		return false
	}
	r.left = r.left[1:]
	return true
}

// array reads the beginning of an array and returns its length.
func (r *reader) array() int {
	if r.err != nil {
		return 0
	}
	n, left, err := msgp.ReadArrayHeaderBytes(r.left)
	r.take(left, err)
	return r.length(n)
}

// length returns n if it is possible: every element has at least one byte.
func (r *reader) length(n uint32) int {
	if r.err == nil && int64(n) > int64(len(r.left)) {
		r.fail(errShape)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// object reads a map and calls value to read the value of each key. A nil counts as an empty map.
func (r *reader) object(value func(key string)) {
	if r.err != nil || r.null() {
		return
	}
	n, left, err := msgp.ReadMapHeaderBytes(r.left)
	r.take(left, err)
	for range r.length(n) {
		key := r.text()
		if r.err != nil {
			return
		}
		value(key)
	}
}

func (r *reader) text() string {
	if r.err != nil {
		return ""
	}
	text, left, err := msgp.ReadStringZC(r.left)
	r.take(left, err)
	return string(valid(text))
}

// name reads a string or a number, and returns its text.
func (r *reader) name() string {
	if r.err != nil {
		return ""
	}
	if !isNumber(msgp.NextType(r.left)) {
		return r.text()
	}
	t := &transcoder{reader: r}
	t.number()
	text, ok := rawjson.NumberText(string(t.out))
	if !ok {
		r.fail(errShape) // such as NaN
	}
	return text
}

func isNumber(t msgp.Type) bool {
	switch t {
	case msgp.IntType, msgp.UintType, msgp.Float32Type, msgp.Float64Type:
		return true
	}
	return false
}

// texts reads an array of names. A nil counts as an empty array.
func (r *reader) texts() []string {
	if r.null() {
		return nil
	}
	n := r.array()
	if n > maxNames {
		r.fail(errNames)
		return nil
	}
	texts := make([]string, 0, n)
	for range n {
		texts = append(texts, r.name())
	}
	return texts
}

func (r *reader) integer() int64 {
	if r.err != nil {
		return 0
	}
	n, left, err := msgp.ReadInt64Bytes(r.left)
	r.take(left, err)
	return n
}

// flags reads the flags. Only "volatile" matters.
func (r *reader) flags(c *Command) {
	r.object(func(key string) {
		if key != "volatile" || r.err == nil && msgp.NextType(r.left) != msgp.BoolType {
			r.skip()
			return
		}
		volatile, left, err := msgp.ReadBoolBytes(r.left)
		r.take(left, err)
		c.Volatile = volatile
	})
}

// event reads the data of an event: its name and arguments.
func (r *reader) event(c *Command) {
	n := r.array()
	if r.err != nil {
		return
	}
	if kind := msgp.NextType(r.left); n == 0 || kind != msgp.StrType && !isNumber(kind) {
		r.fail(errEvent)
		return
	}
	c.Event = r.name()
	t := &transcoder{reader: r}
	t.out = []byte{'['}
	t.values(n-1, 1)
	t.out = append(t.out, ']')
	c.Args, c.Attachments = t.out, t.attachments
}
