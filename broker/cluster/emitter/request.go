package emitter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// The types of requests, as the adapter numbers them.
const (
	requestJoin           = 2
	requestLeave          = 3
	requestDisconnect     = 4
	requestServerSideEmit = 6
	requestLast           = 7 // of those that servers know
)

type request struct {
	Type *int `json:"type"`
	Opts struct {
		Rooms  []string `json:"rooms"`
		Except []string `json:"except"`
	} `json:"opts"`
	Rooms []string          `json:"rooms"`
	Close bool              `json:"close"`
	Data  []json.RawMessage `json:"data"`
}

// decodeRequest reads a request, which is JSON.
func decodeRequest(namespace string, payload []byte) (*Command, error) {
	var r request
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("emitter: the request isn't JSON as it should be: %w", kindOf(err))
	}
	if r.Type == nil {
		return nil, errors.New("emitter: the request has no type")
	}
	c := &Command{Namespace: namespace, Rooms: r.Opts.Rooms, Except: r.Opts.Except}
	switch *r.Type {
	case requestJoin, requestLeave:
		c.Kind, c.Change = KindJoin, r.Rooms
		if *r.Type == requestLeave {
			c.Kind = KindLeave
		}
		if len(c.Change) == 0 {
			return nil, errors.New("emitter: the request names no room to join or leave")
		}
	case requestDisconnect:
		c.Kind, c.Close = KindDisconnect, r.Close
	case requestServerSideEmit:
		return decodeServerSideEmit(c, r.Data)
	default:
		if *r.Type < 0 || *r.Type > requestLast {
			return nil, errors.New("emitter: the request's type is unknown")
		}
		return nil, ErrIgnored
	}
	if err := checkNames(c.Rooms, c.Except, c.Change); err != nil {
		return nil, err
	}
	return c, nil
}

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

// kindOf returns what kind of error of package json it is, without the text at fault.
func kindOf(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("the field %q has another type", wrongType.Field)
	}
	return errors.New("the syntax is wrong")
}
