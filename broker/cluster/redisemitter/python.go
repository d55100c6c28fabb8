package redisemitter

import (
	"encoding/json"
	"errors"

	"github.com/salabroker/sala/broker/rawjson"
)

// PythonChannel is the default channel of python-socketio's Redis manager: its option "channel".
const PythonChannel = "socketio"

// pythonMessage is a message between servers and publishers of python-socketio.
type pythonMessage struct {
	method, event, namespace string
	rooms, skip              []string
	args                     json.RawMessage
	attachments              [][]byte
}

// decodePython decodes a message of python-socketio: a pickle, which it publishes up to version
// 5.13, or JSON.
func decodePython(payload []byte) (*Command, error) {
	var m pythonMessage
	var err error
	if len(payload) > 0 && payload[0] == 0x80 {
		err = m.fromPickle(payload)
	} else {
		err = m.fromJSON(payload)
	}
	if err != nil {
		return nil, err
	}
	c := &Command{Namespace: m.namespace, Rooms: m.rooms, Except: m.skip}
	switch m.method {
	case "emit":
		c.Kind, c.Event, c.Args, c.Attachments = KindEmit, m.event, m.args, m.attachments
		if c.Event == "" {
			return nil, errEvent
		}
	case "disconnect":
		c.Kind = KindDisconnect
	case "close_room":
		c.Kind, c.Change = KindLeave, m.rooms
	case "enter_room", "leave_room":
		c.Kind, c.Change, c.Rooms = KindJoin, m.rooms, m.skip
		if m.method == "leave_room" {
			c.Kind = KindLeave
		}
		c.Except = nil
	case "callback":
		return nil, ErrIgnored
	default:
		return nil, errors.New("emitter: the message's method is unknown")
	}
	if c.Kind != KindEmit && len(c.Rooms) == 0 || (c.Kind == KindJoin || c.Kind == KindLeave) && len(c.Change) == 0 {
		return nil, errors.New("emitter: the message doesn't say which sockets or rooms it is for")
	}
	if err := checkNames(c.Rooms, c.Except, c.Change); err != nil {
		return nil, err
	}
	return c, nil
}

func (m *pythonMessage) fromPickle(payload []byte) error {
	v, err := unpickle(payload)
	d, ok := v.(*dictionary)
	if err != nil || !ok {
		return errors.Join(err, errPickle)
	}
	m.method, _ = d.get("method").(string)
	m.event, _ = nameOf(d.get("event"))
	if m.namespace, _ = d.get("namespace").(string); m.namespace == "" {
		m.namespace = "/"
	}
	if err := errors.Join(pickledNames(d.get("room"), &m.rooms), pickledNames(d.get("skip_sid"), &m.skip)); err != nil {
		return err
	}
	if err := m.sid(func(into *[]string) error { return pickledNames(d.get("sid"), into) }); err != nil {
		return err
	}
	args := []pickled{d.get("data")}
	if s, ok := args[0].(*sequence); ok && s.tuple {
		args = s.items
	} else if args[0] == nil {
		args = nil
	}
	w := &pickleWriter{}
	w.out = []byte{'['}
	w.values(args, 1)
	w.out = append(w.out, ']')
	m.args, m.attachments = w.out, w.attachments
	return w.err
}

// sid reads the socket that a message is for, and puts it where the message's method expects it.
func (m *pythonMessage) sid(read func(into *[]string) error) error {
	var sid []string
	if err := read(&sid); err != nil {
		return err
	}
	switch m.method {
	case "disconnect":
		m.rooms = sid
	case "enter_room", "leave_room":
		m.skip = sid
	}
	return nil
}

// pickledNames reads a name, several names, or None.
func pickledNames(v pickled, into *[]string) error {
	var all []pickled
	switch v := v.(type) {
	case nil:
	case *sequence:
		all = v.items
	default:
		all = []pickled{v}
	}
	for _, v := range all {
		name, ok := nameOf(v)
		if !ok || len(*into) == maxNames {
			return errNames
		}
		*into = append(*into, name)
	}
	return nil
}

func (m *pythonMessage) fromJSON(payload []byte) error {
	if !json.Valid(payload) {
		return errors.New("emitter: the message is neither a pickle nor JSON")
	}
	if err := errors.Join(
		read(payload, "method", &m.method), read(payload, "namespace", &m.namespace),
		jsonNames(payload, "room", &m.rooms), jsonNames(payload, "skip_sid", &m.skip),
	); err != nil {
		return err
	}
	m.event, _ = rawjson.Name(rawjson.Member(payload, "event"))
	if m.namespace == "" {
		m.namespace = "/"
	}
	if err := m.sid(func(into *[]string) error { return jsonNames(payload, "sid", into) }); err != nil {
		return err
	}
	var isBinary bool
	if err := read(payload, "binary", &isBinary); err != nil {
		return err
	}
	if isBinary {
		return errors.New("emitter: binary data isn't supported in messages in JSON")
	}
	data := rawjson.Member(payload, "data")
	switch {
	case len(data) == 0 || string(data) == "null":
		m.args = []byte("[]")
	case rawjson.Member(payload, "binary") != nil: // a release in which data is the list of arguments
		if data[0] != '[' {
			return errShape
		}
		m.args = data
	default:
		m.args = append(append([]byte{'['}, data...), ']')
	}
	return nil
}

// jsonNames reads a name, several names, or null.
func jsonNames(object json.RawMessage, member string, into *[]string) error {
	value := rawjson.Member(object, member)
	if len(value) == 0 || string(value) == "null" {
		return nil
	}
	if value[0] == '[' {
		return readNames(object, member, into)
	}
	name, ok := rawjson.Name(value)
	if !ok {
		return errNames
	}
	*into = []string{name}
	return nil
}
