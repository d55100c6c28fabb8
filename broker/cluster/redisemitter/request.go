package redisemitter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/salabroker/sala/broker/rawjson"
)

// The types of requests, as the adapter numbers them.
const (
	requestJoin           = 2
	requestLeave          = 3
	requestDisconnect     = 4
	requestServerSideEmit = 6
	requestLast           = 7 // the last type in use
)

// decodeRequest decodes a request in JSON. Names match exactly, and the last of two counts, as in
// Socket.IO servers.
func decodeRequest(namespace string, payload []byte) (*Command, error) {
	if !json.Valid(payload) {
		return nil, errors.New("emitter: the request isn't valid JSON")
	}
	kind := -1
	if err := read(payload, "type", &kind); err != nil {
		return nil, err
	}
	c := &Command{Namespace: namespace}
	var change []string
	options := rawjson.Member(payload, "opts")
	err := errors.Join(
		readNames(options, "rooms", &c.Rooms),
		readNames(options, "except", &c.Except),
		readNames(payload, "rooms", &change),
	)
	if err != nil {
		return nil, err
	}
	switch kind {
	case requestJoin, requestLeave:
		c.Kind, c.Change = KindJoin, change
		if kind == requestLeave {
			c.Kind = KindLeave
		}
		if len(c.Change) == 0 {
			return nil, errors.New("emitter: the request names no room to join or leave")
		}
	case requestDisconnect:
		c.Kind = KindDisconnect
		if err := read(payload, "close", &c.Close); err != nil {
			return nil, err
		}
	case requestServerSideEmit:
		var data []json.RawMessage
		if err := read(payload, "data", &data); err != nil {
			return nil, err
		}
		return decodeServerSideEmit(c, data)
	default:
		if kind < 0 || kind > requestLast {
			return nil, errors.New("emitter: the request's type is unknown")
		}
		return nil, ErrIgnored
	}
	if err := checkNames(c.Rooms, c.Except, c.Change); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads a member of an object. It may be missing.
func read(object json.RawMessage, name string, into any) error {
	value := rawjson.Member(object, name)
	if value != nil && json.Unmarshal(value, into) != nil {
		return fmt.Errorf("emitter: the field %q of the request has the wrong type", name)
	}
	return nil
}

// readNames reads a list of rooms, each a string or a number.
func readNames(object json.RawMessage, name string, into *[]string) error {
	var values []json.RawMessage
	if err := read(object, name, &values); err != nil {
		return err
	}
	if len(values) > maxNames {
		return errNames
	}
	for _, value := range values {
		text, ok := rawjson.Name(value)
		if !ok {
			return fmt.Errorf("emitter: the field %q of the request has an element that is neither a string nor a number", name)
		}
		*into = append(*into, text)
	}
	return nil
}

// decodeServerSideEmit decodes the data of an event for the servers.
func decodeServerSideEmit(c *Command, data []json.RawMessage) (*Command, error) {
	if len(data) == 0 || json.Unmarshal(data[0], &c.Event) != nil || c.Event == "" {
		return nil, errEvent
	}
	args, err := json.Marshal(data[1:])
	if err != nil {
		return nil, err
	}
	if len(data) == 1 {
		args = []byte("[]")
	}
	c.Kind, c.Args, c.Rooms, c.Except = KindServerSideEmit, bytes.TrimSpace(args), nil, nil
	return c, nil
}
